/** A network that analyses finished images: paths of its files and settings, from a manifest. */
export type ToolSource = {
  air: string;
  /** The name of its network in the engine's table. */
  architecture: string;
  /** Absolute paths by role. */
  files: Readonly<Record<string, string>>;
  settings: Readonly<Record<string, unknown>>;
};
