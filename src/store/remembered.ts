/** `look`, whose answer is good for `milliseconds`; those who ask meanwhile share it. */
export function remembered<Answer>(milliseconds: number, look: () => Promise<Answer>): () => Promise<Answer> {
  let latest: { at: number; answer: Promise<Answer> } | undefined;
  return () => {
    const now = performance.now();
    if (!latest || now - latest.at >= milliseconds) latest = { at: now, answer: look() };
    return latest.answer;
  };
}
