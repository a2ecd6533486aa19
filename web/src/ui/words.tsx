/** Text of the server with `code` in it, as text: nothing in it is read as HTML. */
export function Words({ text }: { text: string }) {
  return (
    <>
      {text
        .split(/`([^`]*)`/)
        .map((part, index) => (index % 2 === 1 ? <code key={part}>{part}</code> : part))}
    </>
  );
}
