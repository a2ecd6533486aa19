import { readPicture } from '../pictures/picture.ts';
import { getImage, noAnswer } from '../server/client.ts';
import { prompt, references } from '../state/draft.ts';
import { keepPicture, selection } from '../state/history.ts';
import { say } from '../state/notices.ts';
import { connectionState, type Example, model } from '../state/server.ts';
import { Icon } from './icons.tsx';
import { PictureButtons } from './picture-buttons.tsx';

/** The empty state: ways to add a picture, and examples. */
export function Empty() {
  const { examples = [], photographs, name } = model.value ?? {};
  // Each picture once, under its first prompt.
  const scenes = examples.filter(
    ({ imageURL }, index) => imageURL && examples.findIndex((other) => other.imageURL === imageURL) === index,
  );
  const words = examples.find(({ imageURL }) => !imageURL);
  return (
    <div class="empty">
      <h1>Say what to change</h1>
      <p>Drop a picture here, paste one, or begin with one of these.</p>
      <PictureButtons />
      <ul class="scenes" aria-label="Examples">
        {scenes.slice(0, 3).map((example) => (
          <li key={example.imageURL}>
            <button type="button" class="scene" onClick={() => void takeExample(example)}>
              <img src={new URL(example.imageURL!).pathname} alt="" width="240" height="240" />
              <span>{example.prompt}</span>
            </button>
          </li>
        ))}
        {words && (
          <li>
            <button type="button" class="scene words" onClick={() => void takeExample(words)}>
              <i aria-hidden="true">
                <Icon name="spark" />
              </i>
              <span>{words.prompt}</span>
            </button>
          </li>
        )}
      </ul>
      {photographs === false && (
        <p class="fine">
          {name} is small: it knows an illustrated world of cars, houses, trees and the like. FLUX.1 Kontext
          edits photographs: <code>retouch pull</code>
        </p>
      )}
      {connectionState.value === 'offline' && (
        <p class="fine warning" role="status">
          {noAnswer} Start it with <code>retouch serve</code>; this page finds it by itself.
        </p>
      )}
    </div>
  );
}

export async function takeExample({ prompt: text, imageURL }: Example): Promise<void> {
  prompt.value = text;
  if (!imageURL) {
    references.value = [];
    selection.value = undefined;
  } else {
    const blob = await getImage(imageURL);
    if (!blob) {
      say('The picture of this example is not on the server.');
      return;
    }
    const picture = keepPicture(await readPicture(blob, 'example.png'), true);
    references.value = [picture.id];
    selection.value = { kind: 'picture', id: picture.id };
  }
  document.getElementById('prompt')?.focus();
}
