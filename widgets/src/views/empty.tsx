// Empty states that teach.

const EXAMPLE = `[connections]
flights.url = "sqlite:///flights.db"
copy.url = "sqlite:///copy.db"
[tasks.nightly]
source = "flights"
target = "copy"
tables = ["airlines", "flights"]`;

export function NoTasks() {
  return (
    <div class="sm-empty" data-testid="empty">
      <h1>No tasks yet</h1>
      <p>
        A task copies tables from one database to another. Write the first one into{" "}
        <code>syncmon.toml</code>, and start the server with <code>SYNCMON_CONFIG</code> set to its
        path:
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must take the keyboard */}
      <pre tabIndex={0}>{EXAMPLE}</pre>
      <p>
        Or make a folder with real data and a finished task: <code>jupyter syncmon demo</code>
      </p>
    </div>
  );
}

export function NoneSelected() {
  return (
    <div class="sm-empty">
      <p class="sm-quiet">Choose a task on the left.</p>
    </div>
  );
}
