import { describe, expect, test } from "vitest";
import { Api, ApiError, type LogRange } from "./api";
import { ALL_ENTRIES } from "./log";
import { entry } from "./testing";

function api(respond: (url: string) => Response | Promise<Response>, token: string | null = "t") {
  const requests: { url: string; init: RequestInit }[] = [];
  const fetcher = (async (url: string, init: RequestInit) => {
    requests.push({ url, init });
    return respond(url);
  }) as typeof fetch;
  const made = new Api({ baseUrl: "/user/a%40b/", xsrfToken: () => token, fetch: fetcher });
  return { api: made, requests };
}

const headersOf = (request: { init: RequestInit } | undefined) =>
  request?.init.headers as Record<string, string>;

describe("a request", () => {
  test("goes below the base URL, with the XSRF token, GET too", async () => {
    const { api: made, requests } = api(() => Response.json({ tasks: [] }));
    await made.tasks();
    expect(requests[0]?.url).toBe("/user/a%40b/api/v1/tasks");
    expect(headersOf(requests[0])["X-XSRFToken"]).toBe("t");
  });

  test("without a cookie sends no token", async () => {
    const { api: made, requests } = api(() => Response.json({ tasks: [] }), null);
    await made.tasks();
    expect("X-XSRFToken" in headersOf(requests[0])).toBe(false);
  });

  test("quotes ids and asks for a part of the log", async () => {
    const { api: made, requests } = api(() => Response.json({ logs: [] }));
    await made.logs("a/b?", { level: "error", text: "x y", unit: null }, { limit: 5, before: 9 });
    expect(requests[0]?.url).toBe(
      "/user/a%40b/api/v1/tasks/a%2Fb%3F/logs?level=error&q=x+y&limit=5&before=9",
    );
  });

  test("for warnings asks for errors too, and puts the two together", async () => {
    const seqs = { warning: [2, 4, 6], error: [1, 5] };
    const { api: made } = api((url) => {
      const level = new URL(url, "http://x").searchParams.get("level") as "warning" | "error";
      return Response.json({ logs: seqs[level].map((seq) => entry(seq, { level })) });
    });
    const query = { ...ALL_ENTRIES, level: "warning" as const };
    const found = async (range: LogRange) =>
      (await made.logs("a", query, range)).map(({ seq }) => seq);
    expect(await found({ limit: 3 })).toEqual([4, 5, 6]);
    expect(await found({ limit: 3, after: 0 })).toEqual([1, 2, 4]);
    expect(await found({ limit: 9 })).toEqual([1, 2, 4, 5, 6]);
  });

  test("for a file of warnings puts the two together", async () => {
    const { api: made } = api((url) =>
      url.includes("error")
        ? new Response('seq,message\r\n3,"a, ""b""\r\nc"\r\n')
        : new Response("seq,message\r\n2,x\r\n10,y\r\n"),
    );
    const blob = await made.logsCsv("a", { ...ALL_ENTRIES, level: "warning" });
    expect(await blob.text()).toBe('seq,message\r\n2,x\r\n3,"a, ""b""\r\nc"\r\n10,y\r\n');
  });

  test("to start carries its key and its body", async () => {
    const { api: made, requests } = api(() => Response.json({}, { status: 202 }));
    await made.start("a", { fresh: true, only_failed: false }, "key-1");
    expect(requests[0]?.init.method).toBe("POST");
    expect(headersOf(requests[0])["Idempotency-Key"]).toBe("key-1");
    expect(JSON.parse(String(requests[0]?.init.body))).toEqual({ fresh: true, only_failed: false });
  });

  test("for a file asks for CSV", async () => {
    const { api: made, requests } = api(() => new Response("seq\n1\n"));
    expect(await (await made.logsCsv("a", ALL_ENTRIES)).text()).toBe("seq\n1\n");
    expect(headersOf(requests[0]).Accept).toBe("text/csv");
  });
});

describe("an error", () => {
  const thrownBy = async (respond: () => Response | Promise<Response>) => {
    const thrown: unknown = await api(respond)
      .api.tasks()
      .catch((error: unknown) => error);
    if (!(thrown instanceof ApiError)) throw thrown;
    return thrown;
  };

  test("has the server's code, message and hint", async () => {
    const body = { code: "wrong_state", message: "a is paused", hint: "resume it" };
    const error = await thrownBy(() => Response.json({ error: body }, { status: 409 }));
    expect(error.status).toBe(409);
    expect(error.body).toEqual(body);
  });

  test("that is not ours says what was answered", async () => {
    const error = await thrownBy(() => new Response("<html>", { status: 502, statusText: "Bad" }));
    expect(error.body.message).toBe("The server answered 502 Bad");
  });

  test("of a session that is over says what to do", async () => {
    const error = await thrownBy(() => new Response("", { status: 403 }));
    expect(error.body.code).toBe("forbidden");
    expect(error.body.hint).not.toBe("");
  });

  test("of the network has status 0", async () => {
    const error = await thrownBy(() => Promise.reject(new TypeError("failed")));
    expect(error.status).toBe(0);
    expect(error.body.code).toBe("unreachable");
  });
});
