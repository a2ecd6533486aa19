import { useEffect } from 'preact/hooks';
import { type FieldGroup, groupFields } from '../request/fields.ts';
import { fieldErrors, setValue, values } from '../state/draft.ts';
import { fields, model } from '../state/server.ts';
import { AdapterList } from './adapters.tsx';
import { FieldInput } from './field.tsx';
import { Icon } from './icons.tsx';
import { SchedulerPicker } from './scheduler-picker.tsx';
import { SizePicker } from './size-picker.tsx';

/** Every parameter of the task, as the server describes it. */
export function Parameters() {
  const groups = groupFields(fields.value);
  const first = [...fieldErrors.value.fields.keys()][0];
  useEffect(() => {
    if (first) document.getElementById(`field-${first}`)?.focus();
  }, [first]);
  if (groups.length === 0)
    return <p class="fine">The parameters come from the server, which has not answered yet.</p>;
  const isSet = Object.keys(values.value).length > 0;
  return (
    <div class="parameters">
      <div class="parameters-head">
        <p class="fine">What stays at its default is not in the request.</p>
        <button type="button" class="quiet" disabled={!isSet} onClick={() => (values.value = {})}>
          <Icon name="reset" /> Reset all
        </button>
      </div>
      {groups.map((group) => (
        <Group key={group.title} group={group} />
      ))}
    </div>
  );
}

/** Groups that are open at first. */
const openGroups = ['Generation'];

function Group({ group: { title, fields } }: { group: FieldGroup }) {
  const changed = fields.filter(({ path }) => values.value[path] !== undefined).length;
  const hasError = fields.some(({ path }) => errorsOf(path).length > 0);
  const isSwitch = fields[0]?.path.startsWith('ultralytics.') ?? false;
  const isOn = values.value.ultralytics === true;
  return (
    <details class="group" open={openGroups.includes(title) || hasError || undefined}>
      <summary>
        {title}
        {(changed > 0 || (isSwitch && isOn)) && <span class="count">{isSwitch ? 'on' : changed}</span>}
      </summary>
      <div class="group-fields">
        {isSwitch && (
          <label class="switch">
            <input
              type="checkbox"
              role="switch"
              aria-checked={isOn}
              checked={isOn}
              onChange={({ currentTarget }) => setValue('ultralytics', currentTarget.checked || undefined)}
            />
            <span>Find the faces and paint each again</span>
          </label>
        )}
        {fields.map((field) => {
          const common = { field, errors: errorsOf(field.path) };
          switch (field.path) {
            case 'width':
              return <SizePicker key="size" errors={[...errorsOf('width'), ...errorsOf('height')]} />;
            case 'height':
              return null;
            case 'scheduler':
              return <SchedulerPicker key={field.path} {...common} />;
            case 'lora':
              return <AdapterList key={field.path} {...common} category="lora" />;
            case 'ipAdapters':
              return <AdapterList key={field.path} {...common} category="ip-adapter" />;
            default:
              return (
                <FieldInput
                  key={field.path}
                  {...common}
                  id={`field-${field.path}`}
                  value={values.value[field.path]}
                  modelDefault={modelDefault(field.path)}
                  isDisabled={isSwitch && !isOn}
                  onChange={(value) => setValue(field.path, value)}
                />
              );
          }
        })}
      </div>
    </details>
  );
}

function errorsOf(path: string): string[] {
  return fieldErrors.value.fields.get(path) ?? [];
}

/** The value that the model or the server takes when the request has none. */
function modelDefault(path: string): unknown {
  return {
    steps: model.value?.defaultSteps,
    CFGScale: model.value?.defaultCFG,
    seed: 'random',
    trueCFGScale: 1,
  }[path];
}
