/** Every error of the fleet by its code. */
import { RetouchError } from '../error.ts';

export const fleetErrors = {
  fleetVersionMismatch: 'The servers of the fleet have another version than this worker.',
  redisRefused: 'Redis answers, but does not take the user or the password.',
  redisUnreachable: 'Nothing answers at the address of Redis.',
  transferLost:
    'What a server or a worker had put into Redis for the other was gone: Redis was emptied, or the image waited for longer than a day.',
  transferTooLarge: 'The inputs or the result of an image are larger than what may be put into Redis.',
  workerLacksModel: 'The worker that took the image has lost the model, or its files have changed.',
  workerLost: 'Two workers, one after the other, were lost while they made the image.',
} as const;

export type FleetErrorCode = keyof typeof fleetErrors;

/** RetouchError itself, constructed with a code of the table only. */
export const FleetError: new (
  code: FleetErrorCode,
  message: string,
  details?: Record<string, unknown>,
  options?: ErrorOptions,
) => RetouchError = RetouchError;
