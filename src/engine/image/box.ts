/** A rectangle of an image, in pixels from the top left; right and bottom are the first column and row outside. */
export type Box = { left: number; top: number; right: number; bottom: number };
