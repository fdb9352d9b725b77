// The page's address: `#task=nightly&line=1234` names what is shown.

export interface Place {
  taskId: string | null;
  line: number | null;
}

export function readPlace(hash: string): Place {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  const line = Number(params.get("line"));
  return {
    taskId: params.get("task") || null,
    line: Number.isSafeInteger(line) && line > 0 ? line : null,
  };
}

export function writePlace({ taskId, line }: Place): string {
  const params = new URLSearchParams();
  if (taskId !== null) params.set("task", taskId);
  if (line !== null) params.set("line", String(line));
  return `#${params}`;
}
