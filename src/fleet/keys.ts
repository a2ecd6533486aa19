/** Names in Redis. Everything of a fleet begins with its prefix, so that several share one Redis. */
export type FleetKeys = ReturnType<typeof fleetKeys>;

export function fleetKeys(prefix: string) {
  return {
    /** Prefix of BullMQ's own keys. */
    bull: `${prefix}:bull`,
    /** Ids of the workers, and what each says of itself for as long as it lives. */
    workers: `${prefix}:workers`,
    worker: (id: string) => `${prefix}:worker:${id}`,
    fronts: `${prefix}:fronts`,
    front: (id: string) => `${prefix}:front:${id}`,
    /** Names of the queues, and what each asks of a worker. */
    queues: `${prefix}:queues`,
    queue: (name: string) => `${prefix}:queue:${name}`,
    /** A stream per front: what workers say of its images. */
    answers: (front: string) => `${prefix}:answers:${front}`,
    /** Plans and results on their way. */
    transfer: (name: string) => `${prefix}:transfer:${name}`,
    cancelled: (job: string) => `${prefix}:cancelled:${job}`,
    /** Channels: a queue has a job, a job is cancelled, a worker has come, changed or gone. */
    jobs: `${prefix}:channel:jobs`,
    cancels: `${prefix}:channel:cancels`,
    changes: `${prefix}:channel:changes`,
  };
}
