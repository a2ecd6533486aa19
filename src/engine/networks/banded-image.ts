/** Images between the layers of a network that computes bands of rows, in memory that is freed as they are read. */
import { EngineError } from '../errors.ts';
import { normEpsilon } from '../nn/group-norm.ts';
import { f32Tensor, floats, type Tensor } from '../onnx/tensor.ts';

type Shape = {
  channels: number;
  width: number;
  /** Rows of every band. */
  heights: readonly number[];
};

/** Blocks this large are mapped by themselves (src/child-environment.ts), so that the system has them back at once. */
const slabBytes = 16 * 2 ** 20;

/** An image [1, C, H, W] as bands [1, C, R, W]. */
export class BandedImage {
  readonly shape: Shape;
  readonly moments: GroupMoments;
  private readonly bandsPerSlab: number;
  private readonly slabs: (Float32Array<ArrayBuffer> | undefined)[] = [];
  private freed = 0;

  constructor(shape: Shape) {
    this.shape = shape;
    this.moments = new GroupMoments(shape.channels);
    this.bandsPerSlab = Math.ceil(slabBytes / (4 * this.floatsPerBand));
  }

  /** Cuts the values of an image [1, C, H, W]. */
  static of(image: Float32Array, shape: Shape): BandedImage {
    const cut = new BandedImage(shape);
    cut.forEachRun((band, at) => band.set(image.subarray(at, at + band.length)));
    return cut;
  }

  get bands(): number {
    return this.shape.heights.length;
  }

  /** The band's tensor, whose memory is allocated when it is first asked for. */
  band(index: number): Tensor {
    const { channels, width, heights } = this.shape;
    if (index < this.freed) throw new EngineError('graphInvalid', `band ${index} of ${this.bands} was freed`);
    const [slab, place] = [Math.floor(index / this.bandsPerSlab), index % this.bandsPerSlab];
    const bandsHere = Math.min(this.bandsPerSlab, this.bands - slab * this.bandsPerSlab);
    this.slabs[slab] ??= new Float32Array(bandsHere * this.floatsPerBand);
    const start = place * this.floatsPerBand;
    const rows = heights[index]!;
    const values = this.slabs[slab].subarray(start, start + channels * rows * width);
    return f32Tensor(values, [1, channels, rows, width]);
  }

  /** The image [C, H, W] as one array. */
  joined(): Float32Array {
    const { channels, width } = this.shape;
    const image = new Float32Array(channels * width * this.height);
    this.forEachRun((band, at) => image.set(band, at));
    return image;
  }

  /** Frees the bands before `index`, by default all: the memory is the system's again before the garbage collector runs. */
  free(index = this.bands): void {
    this.freed = index;
    for (const [i, slab] of this.slabs.entries()) {
      const isPast = index >= Math.min((i + 1) * this.bandsPerSlab, this.bands);
      if (!slab || !isPast) continue;
      slab.buffer.transfer(0);
      this.slabs[i] = undefined;
    }
  }

  private get height(): number {
    return this.shape.heights.reduce((sum, rows) => sum + rows, 0);
  }

  private get floatsPerBand(): number {
    return this.shape.channels * this.shape.heights[0]! * this.shape.width;
  }

  /** f of every channel's rows of every band, which are one run, and its place in the image [C, H, W]. */
  private forEachRun(f: (run: Float32Array, at: number) => void): void {
    const { channels, width, heights } = this.shape;
    const { height } = this;
    let above = 0;
    for (const [i, rows] of heights.entries()) {
      const band = floats(this.band(i));
      for (let c = 0; c < channels; c++)
        f(band.subarray(c * rows * width, (c + 1) * rows * width), (c * height + above) * width);
      above += rows;
    }
  }
}

/** Sums over an image's rows that give the mean and the deviation of groups of channels. */
export class GroupMoments {
  private readonly channels: number;
  private readonly means: Float64Array;
  private readonly squares: Float64Array;
  private readonly deviations: Float64Array;
  private rows = 0;
  private shared = new Float32Array(0);

  constructor(channels: number) {
    this.channels = channels;
    this.means = new Float64Array(channels);
    this.squares = new Float64Array(channels);
    this.deviations = new Float64Array(channels);
  }

  /** Tensors to be filled with a band's `rowMoments`, in memory that all bands share. */
  room(rows: number): { means: Tensor; squares: Tensor } {
    const size = this.channels * rows;
    if (this.shared.length < 2 * size) this.shared = new Float32Array(2 * size);
    const part = (at: number) => f32Tensor(this.shared.subarray(at, at + size), [1, this.channels, rows, 1]);
    return { means: part(0), squares: part(size) };
  }

  /** @param means and mean squared deviations of the rows of a band, [1, C, R, 1] (`rowMoments`) */
  add({ means, squares }: { means: Tensor; squares: Tensor }): void {
    const rows = means.dims[2]!;
    const [mean, square] = [floats(means), floats(squares)];
    for (let c = 0; c < this.channels; c++)
      for (let i = c * rows; i < (c + 1) * rows; i++) {
        this.means[c]! += mean[i]!;
        this.squares[c]! += mean[i]! ** 2;
        this.deviations[c]! += square[i]!;
      }
    this.rows += rows;
  }

  /** Mean and deviation of each channel's group, [1, C, 1, 1]. */
  statistics(groups: number): { mean: Tensor; deviation: Tensor } {
    const size = this.channels / groups;
    const [mean, deviation] = [new Float32Array(this.channels), new Float32Array(this.channels)];
    for (let first = 0; first < this.channels; first += size) {
      const average = (sums: Float64Array) =>
        sums.subarray(first, first + size).reduce((sum, value) => sum + value, 0) / (size * this.rows);
      const center = average(this.means);
      // The variance within rows and that of their means.
      const variance = average(this.deviations) + Math.max(average(this.squares) - center ** 2, 0);
      mean.fill(center, first, first + size);
      deviation.fill(Math.sqrt(variance + normEpsilon), first, first + size);
    }
    const shape = [1, this.channels, 1, 1];
    return { mean: f32Tensor(mean, shape), deviation: f32Tensor(deviation, shape) };
  }
}
