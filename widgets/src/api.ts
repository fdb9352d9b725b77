// The REST client: one method per call of the API, errors as values with a code, message and hint.

import { mergedCsv } from "./csv";
import type {
  ErrorBody,
  HistorySample,
  Level,
  LogEntry,
  Plan,
  Progress,
  RunSummary,
  StartBody,
  Task,
  TaskList,
} from "./messages";

export interface LogQuery {
  /** "warning" means: at least a warning. */
  level: "all" | "warning" | "error";
  text: string;
  unit: string | null;
}

/** What each choice shows; a call asks for one level or for all. */
export const SHOWN_LEVELS: Readonly<Record<LogQuery["level"], readonly Level[] | null>> = {
  all: null,
  warning: ["warning", "error"],
  error: ["error"],
};

export interface LogRange {
  limit?: number;
  after?: number;
  before?: number;
}

/** What the server refused, or why it was not reached (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly body: ErrorBody;

  constructor(status: number, body: ErrorBody) {
    super(body.message);
    this.status = status;
    this.body = body;
  }
}

/** The error body of any thrown value: what views show. */
export function errorBody(thrown: unknown): ErrorBody {
  if (thrown instanceof ApiError) return thrown.body;
  return { code: "unexpected", message: String(thrown), hint: "Reload the page." };
}

/** The error of a response that is not a success, in words where the server sent none of ours. */
export async function responseError(response: Response): Promise<ApiError> {
  try {
    const parsed = (await response.json()) as { error?: Partial<ErrorBody> };
    if (parsed.error?.message) {
      const { code = "error", message, hint = "" } = parsed.error;
      return new ApiError(response.status, { code, message, hint });
    }
  } catch {
    // Not JSON: a proxy or Jupyter itself answered.
  }
  const signedOut = response.status === 401 || response.status === 403;
  return new ApiError(response.status, {
    code: signedOut ? "forbidden" : "http_error",
    message: signedOut
      ? `The server refused this request (${response.status}).`
      : `The server answered ${response.status} ${response.statusText}`.trim(),
    hint: signedOut ? "Sign in to Jupyter again, then reload this page." : "",
  });
}

export interface ApiOptions {
  baseUrl: string;
  xsrfToken: () => string | null;
  fetch?: typeof fetch;
}

export class Api {
  /** Where the API is. */
  readonly root: string;
  readonly #xsrfToken: () => string | null;
  readonly #fetch: typeof fetch;

  constructor({ baseUrl, xsrfToken, fetch: fetcher }: ApiOptions) {
    this.root = `${baseUrl.replace(/\/*$/, "")}/api/v1`;
    this.#xsrfToken = xsrfToken;
    this.#fetch = fetcher ?? ((...args) => fetch(...args));
  }

  url(path: string, params?: URLSearchParams): string {
    const query = params?.toString();
    return `${this.root}/${path}${query ? `?${query}` : ""}`;
  }

  /** The headers that every request carries: JupyterHub wants the token on GET too. */
  headers(): Record<string, string> {
    const token = this.#xsrfToken();
    return token ? { "X-XSRFToken": token } : {};
  }

  tasks(): Promise<TaskList> {
    return this.#json("GET", "tasks");
  }

  task(taskId: string): Promise<Task> {
    return this.#json("GET", taskPath(taskId));
  }

  progress(taskId: string): Promise<Progress> {
    return this.#json("GET", `${taskPath(taskId)}/progress`);
  }

  async logs(taskId: string, query: LogQuery, range: LogRange = {}): Promise<LogEntry[]> {
    const path = `${taskPath(taskId)}/logs`;
    const pages = await Promise.all(
      logParams(query).map((params) => {
        for (const [name, value] of Object.entries(range)) params.set(name, String(value));
        return this.#json<{ logs: LogEntry[] }>("GET", path, { params });
      }),
    );
    const entries = pages.flatMap(({ logs }) => logs).sort((one, other) => one.seq - other.seq);
    const limit = range.limit ?? entries.length;
    return range.after === undefined ? entries.slice(-limit) : entries.slice(0, limit);
  }

  /** The whole log that matches `query`, as CSV. */
  async logsCsv(taskId: string, query: LogQuery): Promise<Blob> {
    const answers = await Promise.all(
      logParams(query).map((params) =>
        this.#request("GET", this.url(`${taskPath(taskId)}/logs`, params), { Accept: "text/csv" }),
      ),
    );
    const [only, ...others] = answers;
    if (only && others.length === 0) return only.blob();
    const texts = await Promise.all(answers.map((answer) => answer.text()));
    return new Blob([mergedCsv(texts)], { type: "text/csv" });
  }

  async plan(taskId: string): Promise<Plan> {
    return this.#json("GET", `${taskPath(taskId)}/plan`);
  }

  async runs(taskId: string): Promise<RunSummary[]> {
    return (await this.#json<{ runs: RunSummary[] }>("GET", `${taskPath(taskId)}/runs`)).runs;
  }

  async history(taskId: string, runId: string): Promise<HistorySample[]> {
    const params = new URLSearchParams({ run: runId });
    const path = `${taskPath(taskId)}/history`;
    return (await this.#json<{ samples: HistorySample[] }>("GET", path, { params })).samples;
  }

  /** `key` makes a repeated start the same start. */
  start(taskId: string, body: StartBody, key: string): Promise<Progress> {
    const headers = { "Idempotency-Key": key };
    return this.#json("POST", `${taskPath(taskId)}/start`, { body, headers });
  }

  pause(taskId: string): Promise<Progress> {
    return this.#json("POST", `${taskPath(taskId)}/pause`);
  }

  stop(taskId: string): Promise<Progress> {
    return this.#json("POST", `${taskPath(taskId)}/stop`);
  }

  async #json<T>(
    method: string,
    path: string,
    parts: { params?: URLSearchParams; body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<T> {
    const headers: Record<string, string> = { Accept: "application/json", ...parts.headers };
    if (parts.body !== undefined) headers["Content-Type"] = "application/json";
    const body = parts.body === undefined ? null : JSON.stringify(parts.body);
    const response = await this.#request(method, this.url(path, parts.params), headers, body);
    return (await response.json()) as T;
  }

  async #request(
    method: string,
    url: string,
    headers: Record<string, string>,
    body: string | null = null,
  ): Promise<Response> {
    let response: Response;
    try {
      response = await this.#fetch(url, {
        method,
        headers: { ...this.headers(), ...headers },
        body,
        credentials: "same-origin",
        cache: "no-store",
      });
    } catch {
      throw new ApiError(0, {
        code: "unreachable",
        message: "The server does not answer.",
        hint: "Nothing was lost; try again when it is back.",
      });
    }
    if (!response.ok) throw await responseError(response);
    return response;
  }
}

function taskPath(taskId: string): string {
  return `tasks/${encodeURIComponent(taskId)}`;
}

/** The query of each call that `query` takes. */
function logParams({ level, text, unit }: LogQuery): URLSearchParams[] {
  return (SHOWN_LEVELS[level] ?? [null]).map((one) => {
    const params = new URLSearchParams();
    if (one) params.set("level", one);
    if (text) params.set("q", text);
    if (unit) params.set("unit", unit);
    return params;
  });
}
