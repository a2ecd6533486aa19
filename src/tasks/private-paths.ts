/**
 * Messages of the engine and the stores name files by their paths, for the log and the command line. Clients learn the names
 * of files, in their model at most: the folders above are the operator's.
 */

import { realpathSync } from 'node:fs';
import { isAbsolute, win32 } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Folders of a diffusers model, which tell its files of one name apart. */
const components = /^(?:transformer|vae|text_encoder(?:_2)?|tokenizer(?:_2)?|scheduler)$/;

/** Stands for a known folder until the names below it are cut off; a character of no meaning in Unicode. */
const root = '\uE000';
const start = String.raw`(?:${root}[\\/]|[A-Za-z]:[\\/]|\\\\|[\\/])`;
const word = String.raw`[^\s'"\`;:,\\/]+`;
/** A folder's name may have spaces, but no word that ends as the name of a file does. */
const folder = String.raw`(?:(?!\S*\.[A-Za-z]\w*\s)${word} )*${word}[\\/]`;
const inQuotes = new RegExp(String.raw`(['"\`])(${start}[^'"\`\n]+)\1`, 'g');
const inText = new RegExp(
  String.raw`https?:\/\/\S+|(?<![\w.\\/-])${start}(?:${folder})+(?:[^\s'"\`;:,()\\/]+)?`,
  'g',
);
const fileUrl = /\bfile:\/\/[^\s'"`<>]+/gi;

export class PrivatePaths {
  readonly #folders: () => readonly string[];

  /** @param folders paths of this machine that messages may hold, such as the data directory */
  constructor(folders: () => readonly string[]) {
    this.#folders = folders;
  }

  /** The message without folders. Paths in `details`, and those below known folders, are found whatever their names. */
  hide(message: string, details: unknown = {}): string {
    if (!/[\\/]/.test(message)) return message;
    const known = [...this.#folders(), ...pathsIn(details)].flatMap(spellings);
    const longestFirst = [...new Set(known)].sort((a, b) => b.length - a.length);
    const marked = longestFirst.reduce(markPath, message);
    return marked
      .replace(fileUrl, (url) => nameOf(decode(url)))
      .replace(inQuotes, (_, quote, path) => quote + nameOf(path) + quote)
      .replace(inText, (found) => (/^https?:/.test(found) ? found : nameOf(found)))
      .replaceAll(new RegExp(`${root}[\\\\/]?`, 'g'), '');
  }
}

/** Absolute paths anywhere in the details of an error. */
function pathsIn(value: unknown): string[] {
  if (typeof value === 'string') return isPath(value) ? [value] : [];
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return [];
  return Object.values(value).flatMap(pathsIn);
}

function isPath(text: string): boolean {
  return isAbsolute(text) || /^[A-Za-z]:[\\/]/.test(text);
}

/** A path without its last separator, behind its symbolic links, and as a URL; none for the root of a disk. */
function spellings(path: string): string[] {
  const plain = path.replace(/[\\/]+$/, '');
  if (plain === '' || win32.parse(plain).base === '') return [];
  return [plain, behindLinks(plain), ...(isAbsolute(plain) ? [pathToFileURL(plain).href] : [])];
}

function behindLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** A known path by its name, or by the mark where more of a path follows; not where it is a part of another path. */
function markPath(message: string, path: string): string {
  const found = new RegExp(
    String.raw`(?<![\w.\\/-])${RegExp.escape(path)}(?=([\\/])|$|[^\w.-]|\.(?:\s|$))`,
    'g',
  );
  return message.replace(found, (_, more) => (more ? root : nameOf(path)));
}

function nameOf(path: string): string {
  const [last = '', above = ''] = path.split(/[\\/]/).filter(Boolean).reverse();
  return components.test(above) ? `${above}/${last}` : last;
}

function decode(url: string): string {
  try {
    return decodeURIComponent(url);
  } catch {
    return url;
  }
}
