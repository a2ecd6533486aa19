/** Installed models as rows: for the terminal a table, for programs JSON. */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes } from '../../bytes.ts';
import { type ModelStore, pathsOf } from '../../store/models.ts';

export type InstalledRow = {
  air: string;
  name: string;
  category: string;
  architecture: string | undefined;
  /** Total size of the files in bytes, inside or outside the model's folder. */
  bytes: number;
  license: string;
  folder: string;
};

export async function describeInstalled({ models, adapters }: ModelStore): Promise<InstalledRow[]> {
  return Promise.all(
    [...models, ...adapters].map(async (model) => {
      const { air, name, category, architecture, license, folder } = model;
      const paths = new Set(pathsOf(model));
      const sizes = await Promise.all([...paths].map((path) => folderBytes(path)));
      return { air, name, category, architecture, bytes: sizes.reduce((a, b) => a + b, 0), license, folder };
    }),
  );
}

/**
 * Size of a file or folder in bytes. Missing files count 0; doctor and the engine report them.
 *
 * @param hidden whether to count names that begin with a dot, such as the folder of prepared weights
 */
export async function folderBytes(path: string, hidden = false): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) return found?.size ?? 0;
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter(
    (entry) =>
      !entry.isDirectory() &&
      (hidden || !/[\\/]\./.test(join(entry.parentPath, entry.name).slice(path.length))),
  );
  const sizes = files.map(({ parentPath, name }) =>
    stat(join(parentPath, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

export function formatTable(rows: readonly InstalledRow[]): string {
  const head = ['AIR', 'NAME', 'KIND', 'SIZE', 'LICENSE', 'FOLDER'];
  const cells = rows.map((row) => [
    row.air,
    row.name,
    row.category,
    formatBytes(row.bytes),
    row.license,
    row.folder,
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((line) => line[i]!.length)));
  return [head, ...cells]
    .map((line) =>
      line
        .map((cell, i) => (i === 3 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
