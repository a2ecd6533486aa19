/** Scenes of the embedded model's world, put together from the sheets that `model/training/make_scenes.py` writes. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { type Bitmap, cropBitmap } from '../../src/engine/image/pixels.ts';

/** A thing that covers two by two tokens, from this row and column of tokens on. */
export type PlacedThing = { name: string; picture: number; row: number; column: number };
export type Scene = { field: string; things: PlacedThing[] };
/** One instruction: the scene it is given (null: text-to-image) and the scene that must come of it. */
export type Case = {
  kind: string;
  width: number;
  height: number;
  prompt: string;
  seed: number;
  before: Scene | null;
  after: Scene;
  /** Expected result with the LoRA `retouch:neon@1`. */
  neon?: Scene;
};

type Index = {
  token: number;
  thing: number;
  perRow: number;
  fields: Record<string, number[][]>;
  cases: Case[];
};

export class Scenes {
  readonly cases: Case[];
  private readonly index: Index;
  private readonly backgrounds: Bitmap;
  private readonly things: Bitmap;
  private readonly masks: Bitmap;

  private constructor(index: Index, [backgrounds, things, masks]: Bitmap[]) {
    this.cases = index.cases;
    this.index = index;
    this.backgrounds = backgrounds!;
    this.things = things!;
    this.masks = masks!;
  }

  static async read(folder: string): Promise<Scenes> {
    const index = JSON.parse(await readFile(join(folder, 'scenes.json'), 'utf8'));
    const sheets = ['backgrounds', 'things', 'masks'].map(async (name) =>
      decodeImage(await readFile(join(folder, `${name}.webp`))),
    );
    return new Scenes(index, await Promise.all(sheets));
  }

  /** The backgrounds of a size, `day-snow 1024x1024` and others of `1024x1024`. */
  fieldsOf(size: string): string[] {
    return Object.keys(this.index.fields).filter((field) => field.endsWith(` ${size}`));
  }

  render(scene: Scene, size: { width: number; height: number }): Bitmap {
    const { token, fields } = this.index;
    const field = fields[scene.field]!;
    const [width, height] = [field[0]!.length * token, field.length * token];
    const canvas = { width, height, data: new Uint8Array(width * height * 3) };
    field.forEach((row, y) => {
      row.forEach((picture, x) => {
        this.each(token, picture, this.backgrounds.width, (from, dx, dy) => {
          const to = ((y * token + dy) * width + x * token + dx) * 3;
          for (let c = 0; c < 3; c++) canvas.data[to + c] = this.backgrounds.data[from + c]!;
        });
      });
    });
    for (const thing of scene.things) {
      this.eachPixel(thing, width, (to, from, opacity) => {
        for (let c = 0; c < 3; c++) {
          const under = canvas.data[to * 3 + c]!;
          canvas.data[to * 3 + c] = Math.round(under + opacity * (this.things.data[from + c]! - under));
        }
      });
    }
    return cropBitmap(canvas, size);
  }

  /** Indices of the opaque pixels of a thing in a picture of this size. */
  covered(thing: PlacedThing, { width, height }: { width: number; height: number }): number[] {
    const { token } = this.index;
    const padded = Math.ceil(width / token) * token;
    const pixels: number[] = [];
    this.eachPixel(thing, padded, (at, _, opacity) => {
      const [x, y] = [at % padded, Math.floor(at / padded)];
      if (opacity > 0.99 && x < width && y < height) pixels.push(y * width + x);
    });
    return pixels;
  }

  private eachPixel(
    thing: PlacedThing,
    width: number,
    visit: (to: number, from: number, opacity: number) => void,
  ) {
    const { token } = this.index;
    this.each(this.index.thing, thing.picture, this.things.width, (from, dx, dy) => {
      const opacity = this.masks.data[from]! / 255;
      if (opacity > 0) visit((thing.row * token + dy) * width + thing.column * token + dx, from, opacity);
    });
  }

  /** Every pixel of a picture of a sheet: its place in the sheet's bytes, and in the picture. */
  private each(
    side: number,
    picture: number,
    width: number,
    visit: (from: number, dx: number, dy: number) => void,
  ) {
    const { perRow } = this.index;
    const [left, top] = [(picture % perRow) * side, Math.floor(picture / perRow) * side];
    for (let dy = 0; dy < side; dy++)
      for (let dx = 0; dx < side; dx++) visit(((top + dy) * width + left + dx) * 3, dx, dy);
  }
}
