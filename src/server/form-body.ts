/** Parses a multipart/form-data body from memory. */

import { Busboy, type BusboyFileStream } from '@fastify/busboy';
import { apiError } from '../api/errors.ts';
import type { FormField } from '../api/openai/form.ts';

/** Limits of one body; a file may be as large as the body. */
const limits = { parts: 200, fields: 100, files: 32, fieldNameSize: 200, fieldSize: 2 ** 20 };

/** The parts in order, files as data URIs. Throws `invalidBody`. */
export function readFormBody(body: Uint8Array, contentType: string): Promise<FormField[]> {
  return new Promise((resolve, reject) => {
    const refuse = (reason: string) => {
      const message = `The body of the request (${body.length} bytes) is not multipart/form-data that can be read: ${reason}.`;
      reject(apiError('invalidBody', message));
    };
    const fields: FormField[] = [];
    try {
      const parser = Busboy({ headers: { 'content-type': contentType }, limits });
      parser.on('field', (name: string, value: string, _isNameCut: boolean, isCut: boolean) => {
        if (isCut) refuse(`the field '${name.slice(0, 60)}' has more than ${limits.fieldSize} bytes`);
        fields.push({ name, value });
      });
      parser.on(
        'file',
        (name: string, file: BusboyFileStream, _filename: string, _encoding: string, type: string) => {
          const place = fields.push({ name, value: '' }) - 1;
          const chunks: Buffer[] = [];
          // A body that ends within a file is an error of the file's stream, and nobody else listens to it.
          file.on('error', (error) => refuse(error.message));
          file.on('data', (chunk: Buffer) => chunks.push(chunk));
          file.on('end', () => {
            const bytes = Buffer.concat(chunks);
            // An empty file input.
            const value =
              bytes.length === 0 ? '' : `data:${plainType(type)};base64,${bytes.toString('base64')}`;
            fields[place] = { name, value };
          });
        },
      );
      const full = (what: string) => () => refuse(`it has too many ${what}`);
      parser.on('partsLimit', full('parts'));
      parser.on('fieldsLimit', full('fields'));
      parser.on('filesLimit', full('files'));
      parser.on('error', (error: Error) => refuse(error.message));
      parser.on('finish', () => resolve(fields));
      parser.end(body);
    } catch (error) {
      refuse((error as Error).message);
    }
  });
}

/** The client's media type is not used, but must not break the header of the data URI. */
function plainType(type: string): string {
  return /^[\w.+-]+\/[\w.+-]+$/.test(type) ? type : 'application/octet-stream';
}
