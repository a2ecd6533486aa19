import { useEffect, useRef, useState } from 'preact/hooks';
import { takeFiles } from '../state/draft.ts';

/** Camera preview with a shutter button. No frame leaves the page before the button is pressed. */
export function CameraDialog({ onClose }: { onClose(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const [fault, setFault] = useState<string>();
  useEffect(() => {
    dialog.current!.showModal();
    let stream: MediaStream | undefined;
    let isLeft = false;
    const constraints = { video: { facingMode: 'environment', width: { ideal: 1920 } } };
    navigator.mediaDevices.getUserMedia(constraints).then(
      (given) => {
        stream = given;
        if (isLeft) stop(given);
        else video.current!.srcObject = given;
      },
      () => setFault('The browser gave no camera: allow it for this page, or choose a file.'),
    );
    return () => {
      isLeft = true;
      if (stream) stop(stream);
    };
  }, []);
  const take = async () => {
    const { videoWidth, videoHeight } = video.current!;
    const canvas = new OffscreenCanvas(videoWidth, videoHeight);
    canvas.getContext('2d')!.drawImage(video.current!, 0, 0);
    const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.95 });
    await takeFiles([new File([blob], 'photograph.jpg', { type: blob.type })]);
    onClose();
  };
  return (
    <dialog ref={dialog} class="dialog camera" aria-label="Take a photograph" onClose={onClose}>
      {fault ? <p class="error">{fault}</p> : <video ref={video} autoplay muted playsinline />}
      <div class="actions">
        <button type="button" class="quiet" onClick={onClose}>
          Close
        </button>
        {!fault && (
          <button type="button" class="primary" onClick={() => void take()}>
            Take the photograph
          </button>
        )}
      </div>
    </dialog>
  );
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
