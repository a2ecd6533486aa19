/** Text with `code` marked. It is rendered as text, never as HTML. */
export function Words({ text }: { text: string }) {
  return (
    <>
      {text
        .split(/`([^`]*)`/)
        .map((part, index) => (index % 2 === 1 ? <code key={part}>{part}</code> : part))}
    </>
  );
}
