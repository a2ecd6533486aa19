/** The environment of a child that computes: what drivers and the runtime read, and no credential of the server. */

const credential = /^RETOUCH_|KEY|TOKEN|SECRET|PASSW|CREDENTIAL|(^|_)(AUTH|PAT)(_|$)/i;
/** `redis://user:password@host`. */
const addressWithPassword = /:\/\/[^/\s]*:[^/\s]*@/;

/**
 * glibc's malloc asks for huge pages, where the kernel gives them on demand: activations are hundreds of megabytes that
 * are allocated and freed in turn, and clearing them page by page takes a tenth of the time. A block of 16 MiB or more is
 * mapped by itself, so that the kernel has it back when it is freed; by default malloc raises that bound to 32 MiB and
 * then keeps what was freed below a block in use. Other allocators ignore both.
 */
const malloc = {
  GLIBC_TUNABLES: `glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=${16 * 2 ** 20}`,
};

export function childEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(
    ([name, value = '']) => !credential.test(name) && !addressWithPassword.test(value),
  );
  return { ...malloc, ...Object.fromEntries(kept) };
}
