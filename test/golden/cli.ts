/** `npm run golden -- DIR`: compares the engine with the tensors of a folder. Exit 1 when one is out of tolerance. */
import fs from 'node:fs';
import { checkFolder } from './folder.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined || !fs.existsSync(folder)) {
  console.error(`Found ${folder ?? 'nothing'}, expected a folder of golden files: npm run golden -- DIR`);
  process.exit(2);
}

const count = { passed: 0, failed: 0, skipped: 0 };
for await (const line of checkFolder(folder)) {
  if ('skipped' in line) {
    count.skipped += 1;
    console.log(`SKIP  ${line.name}: ${line.skipped}`);
    continue;
  }
  const { name, maxAbs, relativeL2, tolerance, pass } = line;
  count[pass ? 'passed' : 'failed'] += 1;
  const figures = `max abs ${maxAbs.toExponential(2)}  relative L2 ${relativeL2.toExponential(2)}  (at most ${tolerance})`;
  console.log(`${pass ? 'PASS' : 'FAIL'}  ${name}  ${figures}`);
}
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
// Nothing compared is no proof of anything.
process.exitCode = count.failed > 0 || count.passed === 0 ? 1 : 0;
