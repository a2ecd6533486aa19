const root='/tmp/wt/gpu/';
const {syntheticFlux}=await import(root+'bench/widths.ts');const {conditioning,pattern,finish}=await import(root+'bench/layers.ts');
const {Transformer}=await import(root+'src/engine/networks/transformer.ts');const {MemoryWatch}=await import(root+'bench/device-memory.ts');
const {queryBlocks}=await import(root+'src/engine/nn/attention.ts');
const {transformerBytes}=await import(root+'src/engine/models/flux-memory.ts');const {bytesPerWeight}=await import(root+'src/engine/networks/precision.ts');
const syn=syntheticFlux(1,2);const {source,config,folder}=syn;
const count=source.entries.reduce((s,{shape})=>s+shape.reduce((a,b)=>a*b,1),0);
const watch=new MemoryWatch();
const side=4,text=16;const tokens=text+2*side**2;
const given=conditioning({rows:side,columns:side},config,text);
const x=pattern(side**2*config.inChannels);
for(const precision of process.argv.slice(2)){
 const preparedFile=folder+'/device-'+precision+'.safetensors';
 const run=async(device,compute)=>{await new Promise(r=>setTimeout(r,200));watch.take();const t0=performance.now();const t=await finish(Transformer.load({source,config},compute,{device,threads:2,preparedFile}));
  await new Promise(r=>setTimeout(r,200));const loaded=watch.take();const t1=performance.now();const v=(await t.velocity({x,time:500},given)).slice();const peak=watch.take();const t2=performance.now();await t.release();return {v,loaded,peak,load:Math.round(t1-t0),run:Math.round(t2-t1)}};
 const compute={precision,fused:false,queryBlocks:2};
 const gpu=await run('webgpu',compute);
 const cpu=await run('cpu',{precision,fused:true});
 let e=0,n=0;cpu.v.forEach((a,i)=>{e+=(gpu.v[i]-a)**2;n+=a*a});
 const predicted=Math.round((bytesPerWeight(precision,false)*count+transformerBytes(config,compute,{tokens,imagePromptTokens:0,cachedPasses:0,keptReferences:0}))/2**20);
 console.log(precision,'tokens',tokens,'relL2',Math.sqrt(e/n).toExponential(2),'loaded MiB',gpu.loaded,'peak',gpu.peak,'predicted',predicted,'load ms',gpu.load,'run ms',gpu.run,'cpu',cpu.run);
}
process.exit(0);
