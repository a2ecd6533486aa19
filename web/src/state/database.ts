/** Pictures and edits in this browser's IndexedDB. Where it cannot be opened the page works, and forgets on a reload. */

const name = 'retouch';
const version = 1;
const stores = ['pictures', 'edits'] as const;
export type StoreName = (typeof stores)[number];

type Stored = { id: string };

let opened: Promise<IDBDatabase | undefined> | undefined;

function open(): Promise<IDBDatabase | undefined> {
  opened ??= new Promise((resolve) => {
    const request = indexedDB.open(name, version);
    request.onupgradeneeded = () => {
      for (const store of stores) request.result.createObjectStore(store, { keyPath: 'id' });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(undefined);
    request.onblocked = () => resolve(undefined);
  });
  return opened.catch(() => undefined);
}

/** Other tabs of the same browser. */
const channel = new BroadcastChannel('retouch');

export function onChange(listen: (store: StoreName, id: string) => void): void {
  channel.onmessage = ({ data }) => listen(data.store, data.id);
}

/** False when it could not be kept: the disk is full, or the browser keeps nothing. */
export async function put(store: StoreName, value: Stored): Promise<boolean> {
  const done = await transact(store, 'readwrite', (objects) => objects.put(value));
  channel.postMessage({ store, id: value.id });
  return done !== undefined;
}

export async function remove(store: StoreName, id: string): Promise<void> {
  await transact(store, 'readwrite', (objects) => objects.delete(id));
  channel.postMessage({ store, id });
}

export async function getAll<T extends Stored>(store: StoreName): Promise<T[]> {
  return ((await transact(store, 'readonly', (objects) => objects.getAll())) as T[] | undefined) ?? [];
}

export async function get<T extends Stored>(store: StoreName, id: string): Promise<T | undefined> {
  return (await transact(store, 'readonly', (objects) => objects.get(id))) as T | undefined;
}

async function transact(
  store: StoreName,
  mode: IDBTransactionMode,
  act: (objects: IDBObjectStore) => IDBRequest,
): Promise<unknown> {
  const database = await open();
  if (!database) return undefined;
  return new Promise((resolve) => {
    const transaction = database.transaction(store, mode);
    const request = act(transaction.objectStore(store));
    // True means that the change is stored.
    transaction.oncomplete = () => resolve(request.result ?? true);
    transaction.onabort = () => resolve(undefined);
    transaction.onerror = () => resolve(undefined);
  });
}
