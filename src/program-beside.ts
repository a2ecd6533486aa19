/**
 * URL of a program that a process or thread of ours runs: `name` beside the module `importer` (its `import.meta.url`), a
 * TypeScript source in a clone and JavaScript in the package.
 */
export function programBeside(importer: string, name: string): URL {
  return new URL(`./${name}.${importer.endsWith('.ts') ? 'ts' : 'js'}`, importer);
}
