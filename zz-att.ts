import fs from 'node:fs';
const root='/tmp/wt/gpu/src/engine/';
const {Graph}=await import(root+'onnx/graph.ts');const {Session}=await import(root+'onnx/session.ts');
const {attention,queryBlocks}=await import(root+'nn/attention.ts');const {symbol}=await import(root+'onnx/dim.ts');const {f32Tensor}=await import(root+'onnx/tensor.ts');
const heads=Number(process.argv[2]??24),S=Number(process.argv[3]??8704),limit=process.argv[4]?Number(process.argv[4])*2**20:undefined;
const rss=()=>{const t=fs.readFileSync('/proc/self/status','utf8');return ['VmRSS','VmHWM'].map(k=>k+' '+Math.round(Number(t.match(new RegExp(k+':\\s+(\\d+)'))[1])/1024)).join(' ')};
const blocks=queryBlocks({heads,tokens:S},limit);
const g=new Graph('a');const s=symbol('s');const W=heads*128;
const [q,k,v]=['q','k','v'].map(n=>g.input(n,'f32',[s,W]));
g.output('y',attention(q,k,v,heads,{precision:'f32',fused:false,queryBlocks:blocks}));
const t0=performance.now();const se=await Session.compile(g,{device:'webgpu',threads:2});
console.log('blocks',blocks,'compile',Math.round(performance.now()-t0),rss());
const x=f32Tensor(Float32Array.from({length:S*W},(_,i)=>Math.sin(i*1.37)),[S,W]);
for(let i=0;i<2;i++){const t=performance.now();const {y}=await se.run({q:x,k:x,v:x});console.log('run',Math.round(performance.now()-t),rss(),y.data[5]);}
process.exit(0);
