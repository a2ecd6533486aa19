/** How far a result may be from the reference implementation's, as relative L2. */

/** One block's activation, or the output of a network, computed in f32. */
export const block = 1e-5;

/** The accumulated error of several steps of the transformer. */
export const loop = 1e-4;

/** Noise: torch's vectorised logarithm and sine are themselves only this close to the true ones. */
export const noise = 1e-6;

/** Noise levels: both reference pipelines hold them in f32. */
export const sigma = 2e-7;

/** A sampler's steps on a known flow, in f32. */
export const sampler = 1e-6;

/** A picture in f32 against the reference's, as PSNR in dB. */
export const picture = 50;

/** The same in int8, which is 52 and 53 dB on the pictures of the tests. */
export const int8Picture = 40;

/**
 * A block's activation in int8. A value rounded to 8 bits of its row's largest is off by about 1/(127·√12)·(largest/RMS),
 * near 0.7 % for weights and activations each, which sums of many products average down; measured: at most 6.2e-3.
 */
export const int8 = 1.2e-2;

/**
 * The same in f32 through WebGPU, whose kernels sum tile by tile and whose exp and tanh WGSL lets a driver round;
 * measured on SwiftShader: at most 5.6e-6, and 1e-6 in the loops, as on the CPU. A wrong kernel is off by 1e-3 and more.
 */
export const webgpuBlock = 5e-5;

/** An f16 file against the f32 weights it was rounded from. */
export const halfBlock = 2e-3;

/**
 * A velocity with activations in blocks of eight bits, its weights exact: blocks of 32 have smaller largest values than
 * whole rows, so this is below `int8`; measured: at most 5.6e-3.
 */
export const blocks8 = 8e-3;

/** A velocity with weights rounded to four bits, each within 1/16 of its block's largest; measured: 4.1e-2. */
export const fourBits = 8e-2;

/** Pictures in blocks of eight bits (53 and 54 dB on those of the tests) and of four (34 and 35). */
export const blockPicture = { 'int8-blocks': 45, int4: 28 };
