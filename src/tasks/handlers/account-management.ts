import { createHash } from 'node:crypto';
import type { Reply } from '../../api/results.ts';
import type { AccountManagementTask } from '../../api/tasks/account-management.ts';
import type { KeyStore } from '../../store/keys.ts';
import { dateOf, type UsageDay, type UsageStore } from '../../store/usage.ts';
import type { Call } from './handler.ts';

/** There is no payment here, but some clients refuse to start with an empty balance. */
const unlimitedBalance = 1_000_000;

const dayMilliseconds = 86_400_000;

export function* accountManagement(
  { taskUUID, operation }: AccountManagementTask,
  { caller }: Call,
  { keys, usage }: { keys: Pick<KeyStore, 'list'>; usage: UsageStore },
): Generator<Reply> {
  const key = keys.list().find(({ id }) => id === caller.account);
  const days = usage.days(caller.account).map(roundDay);
  yield {
    item: {
      taskType: 'accountManagement',
      taskUUID,
      operation,
      organizationUUID: uuidOf(caller.account),
      organizationName: key?.name ?? 'Retouch',
      AIRSource: 'retouch',
      balance: unlimitedBalance,
      team: [],
      apiKeys: key
        ? [
            {
              name: key.name,
              enabled: true,
              createdAt: new Date(key.created).toISOString(),
              ...(key.used === null ? {} : { lastUsedAt: new Date(key.used).toISOString() }),
            },
          ]
        : [],
      usage: { ...spans(days, Date.now()), days },
    },
  };
}

type Span = { credits: number; requests: number };

function spans(
  days: readonly UsageDay[],
  now: number,
): Record<'total' | 'today' | 'last7Days' | 'last30Days', Span> {
  const since = (count: number): Span => {
    const first = dateOf(now - (count - 1) * dayMilliseconds);
    const within = days.filter(({ date }) => date >= first);
    return {
      credits: round(within.reduce((sum, { cost }) => sum + cost, 0)),
      requests: within.reduce((sum, { tasks }) => sum + tasks, 0),
    };
  };
  return { total: since(100_000), today: since(1), last7Days: since(7), last30Days: since(30) };
}

function roundDay(day: UsageDay): UsageDay {
  return { ...day, computeSeconds: round(day.computeSeconds), cost: round(day.cost) };
}

/** Sums of decimal fractions are not exact in binary. */
function round(amount: number): number {
  return Math.round(amount * 1e6) / 1e6;
}

/** Deterministic per account; the key cannot be computed from it. */
function uuidOf(account: string): string {
  const hex = createHash('sha256').update(`account ${account}`).digest('hex');
  // RFC 9562, version 8: custom.
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
