/** The environment of a child that computes: what drivers and the runtime read, and no credential of the server. */

const credential = /^RETOUCH_|KEY|TOKEN|SECRET|PASSW|CREDENTIAL|(^|_)(AUTH|PAT)(_|$)/i;
/** `redis://user:password@host`. */
const addressWithPassword = /:\/\/[^/\s]*:[^/\s]*@/;

/**
 * glibc's malloc asks for huge pages, where the kernel gives them on demand: activations are hundreds of megabytes that
 * are allocated and freed in turn, and clearing them page by page takes a tenth of the time. Other allocators ignore it.
 */
const hugePages = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' };

export function childEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(
    ([name, value = '']) => !credential.test(name) && !addressWithPassword.test(value),
  );
  return { ...hugePages, ...Object.fromEntries(kept) };
}
