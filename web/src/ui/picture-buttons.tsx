import { useRef, useState } from 'preact/hooks';
import { takeFiles } from '../state/draft.ts';
import { CameraDialog } from './camera-dialog.tsx';
import { Icon } from './icons.tsx';

export const pictureTypes = 'image/png,image/jpeg,image/webp';

/** Choose files, or take a photograph. */
export function PictureButtons({ isCompact }: { isCompact?: boolean }) {
  const files = useRef<HTMLInputElement>(null);
  const [camera, setCamera] = useState(false);
  const take = ({ currentTarget }: { currentTarget: HTMLInputElement }) => {
    void takeFiles([...(currentTarget.files ?? [])]);
    currentTarget.value = '';
  };
  const kind = isCompact ? 'quiet icon-only' : 'secondary';
  return (
    <div class="picture-buttons">
      <input
        ref={files}
        type="file"
        accept={pictureTypes}
        multiple
        hidden
        aria-hidden="true"
        tabIndex={-1}
        onChange={take}
      />
      <button
        type="button"
        class={kind}
        aria-label={isCompact ? 'Choose pictures' : undefined}
        onClick={() => files.current?.click()}
      >
        <Icon name={isCompact ? 'add' : 'picture'} />
        {!isCompact && 'Choose a picture'}
      </button>
      {hasCamera && (
        <button
          type="button"
          class={kind}
          aria-label={isCompact ? 'Take a photograph' : undefined}
          onClick={() => setCamera(true)}
        >
          <Icon name="camera" />
          {!isCompact && 'Camera'}
        </button>
      )}
      {camera && <CameraDialog onClose={() => setCamera(false)} />}
    </div>
  );
}

const hasCamera = navigator.mediaDevices?.getUserMedia !== undefined;
