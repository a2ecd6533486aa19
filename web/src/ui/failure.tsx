import { addressOf, type Picture } from '../pictures/picture.ts';
import type { WireError } from '../server/wire.ts';
import type { Edit } from '../state/history.ts';
import { again } from '../state/runs.ts';
import { Icon } from './icons.tsx';
import { showTab } from './inspector.tsx';

/** The error of a failed edit, in a sentence, with the action that may help. */
export function Failure({ edit, before }: { edit: Edit; before: Picture | undefined }) {
  const { title, advice, action } = explain(edit.errors);
  const act = () => {
    if (action === 'parameters') showTab('parameters');
    else void again(edit);
  };
  return (
    <>
      {before && (
        <div class="frame failed" style={{ '--ratio': before.width / before.height }}>
          <img class="fill" src={addressOf(before.blob)} alt="" draggable={false} />
        </div>
      )}
      <div class="message over" role="alert">
        <Icon name="warning" />
        <h2>{title}</h2>
        {advice && <p>{advice}</p>}
        {edit.errors.map(({ message, code }) => (
          <p key={message} class="said">
            {message} <code>{code}</code>
          </p>
        ))}
        <button type="button" class="primary" onClick={act}>
          {action === 'parameters' ? 'Show the parameter' : 'Try again'}
        </button>
      </div>
    </>
  );
}

type Explained = { title: string; advice?: string; action: 'again' | 'parameters' };

function explain([first]: readonly WireError[]): Explained {
  switch (first?.code) {
    case 'rateLimitExceeded':
    case 'queueFull':
      return {
        title: 'The queue is full',
        advice: 'There is room again when some of its images are made.',
        action: 'again',
      };
    case 'engineCrashed':
      return {
        title: 'The engine stopped while it made this picture',
        advice:
          'A new one is being started. If it happens again, the model may need more memory than there is.',
        action: 'again',
      };
    case 'mediaNotFound':
      return { title: 'The server no longer has a picture that this edit needs', action: 'again' };
    default:
      if (first?.parameter === undefined) return { title: 'The edit could not be made', action: 'again' };
      return { title: 'The server does not take this request', action: 'parameters' };
  }
}
