import { nearestSize, ratioName, type Size } from '../request/sizes.ts';
import { references, setValue, values } from '../state/draft.ts';
import { pictures } from '../state/history.ts';
import { modelSizes } from '../state/server.ts';

/** The sizes that the model supports, drawn as shapes. */
export function SizePicker({ errors }: { errors: readonly string[] }) {
  const first = pictures.value.get(references.value[0] ?? '');
  const taken = nearestSize(modelSizes.value, first?.width ?? 1, first?.height ?? 1);
  const { width, height } = values.value;
  const choose = (size: Size | undefined) => {
    setValue('width', size?.[0]);
    setValue('height', size?.[1]);
  };
  const isChosen = ([w, h]: Size) => Number(width) === w && Number(height) === h;
  return (
    <fieldset class="field sizes">
      <legend class="field-name">Size</legend>
      <div class="size-list">
        <label class="size auto">
          <input
            type="radio"
            name="size"
            id="field-width"
            checked={width === undefined}
            onChange={() => choose(undefined)}
          />
          <span>Auto</span>
        </label>
        {modelSizes.value.map((size) => (
          <label key={size.join()} class="size" title={`${size[0]} × ${size[1]}`}>
            <input
              type="radio"
              name="size"
              aria-label={`${ratioName(size)}, ${size[0]} by ${size[1]}`}
              checked={isChosen(size)}
              onChange={() => choose(size)}
            />
            <Shape size={size} />
            <span aria-hidden="true">{ratioName(size)}</span>
          </label>
        ))}
      </div>
      <p class="field-about">
        {errors.length > 0 && <strong class="error">{errors.join(' ')} </strong>}
        {width === undefined && taken
          ? `${taken[0]} × ${taken[1]}, ${first ? 'the nearest to the first picture' : 'without a picture'}`
          : `${width ?? ''} × ${height ?? ''} pixels`}
      </p>
    </fieldset>
  );
}

function Shape({ size: [width, height] }: { size: Size }) {
  const scale = 22 / Math.max(width, height);
  const [w, h] = [width * scale, height * scale];
  return (
    <svg viewBox="0 0 24 24" aria-hidden="true">
      <rect x={12 - w / 2} y={12 - h / 2} width={w} height={h} rx="1.5" />
    </svg>
  );
}
