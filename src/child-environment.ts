/** The environment of a child that computes: what drivers and the runtime read, and no credential of the server. */

const credential = /^RETOUCH_|KEY|TOKEN|SECRET|PASSW|CREDENTIAL|(^|_)(AUTH|PAT)(_|$)/i;
/** `redis://user:password@host`. */
const addressWithPassword = /:\/\/[^/\s]*:[^/\s]*@/;

export function childEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(
      ([name, value = '']) => !credential.test(name) && !addressWithPassword.test(value),
    ),
  );
}
