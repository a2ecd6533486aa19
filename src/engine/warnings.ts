/** Every warning of the engine by its code: a part of the request that has no effect, or less than it says. */

export const engineWarnings = {
  facesLimited: 'More faces were found than are refined.',
  instructionUnknown:
    'The prompt asks for nothing that the model knows, or that is not so already; the picture is left as it is.',
  promptTruncated: 'A prompt has more tokens than the text encoder reads.',
} as const;

/** `message` is a sentence with the numbers requested and used. */
export type EngineWarning = { code: keyof typeof engineWarnings; message: string };
