"""``plan``: how each table would be copied, before a row moves."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncmon_ext.cli.views import stdout_console
from syncmon_ext.cli.workbench import Workbench, global_options, pass_workbench
from syncmon_ext.model import words
from syncmon_ext.model.errors import InvalidRequest
from syncmon_ext.model.log import clean_message
from syncmon_ext.model.plan import Plan, UnitPlan
from syncmon_ext.services import probe

SWAPS = {
    "create": "the target table is made",
    "rename": "the new table takes the place of the old one",
    "move": "the rows are moved into the table that is there",
    "direct": "rows are appended as they come, without staging",
}


@click.command("plan")
@click.argument("task")
@global_options
@pass_workbench
def plan_command(bench: Workbench, /, task: str) -> int:
    """Show how each table of TASK would be copied. Exits with 1 where one cannot be."""
    found = bench.catalog.task(task)
    if found.spec is None:
        raise InvalidRequest(f"{task} is a loop: it has no plan")
    plan = probe.plan(
        task,
        found.spec,
        bench.catalog.connection(found.spec.source),
        bench.catalog.connection(found.spec.target),
    )
    _print(stdout_console(), plan, f"{found.spec.source} → {found.spec.target}", found.spec.mode)
    return 1 if any(unit.errors for unit in plan.units) else 0


def _print(console: Console, plan: Plan, way: str, mode: str) -> None:
    console.print(Text(f"{plan.task_id}     {way}     mode {mode}", "bold"), soft_wrap=True)
    said = [("consistency", plan.consistency), ("guarantee", plan.guarantee)]
    if plan.executor:
        said.append(("executor", plan.executor))
    for name, text in said:
        console.print(Text(f"{name}: {clean_message(text)}"), soft_wrap=True)
    for unit in plan.units:
        console.print()
        _print_unit(console, unit)


def _print_unit(console: Console, unit: UnitPlan) -> None:
    schema = f"{unit.target_schema}." if unit.target_schema else ""
    rows = "rows unknown"
    if unit.rows_total is not None:
        about = "about " if unit.rows_total_is_estimate else ""
        rows = f"{about}{words.plural(unit.rows_total, 'row')}"
    title = clean_message(f"{unit.unit_id} → {schema}{unit.target_table}")
    console.print(Text.assemble((title, "bold"), f"   {rows}"), soft_wrap=True)
    by = f"{unit.chunk_method} ({', '.join(unit.key)})" if unit.key else unit.chunk_method
    lines = [f"chunks by {by}, route {unit.route}", SWAPS.get(unit.swap, unit.swap)]
    if unit.swap_reason:
        lines[-1] += f": {unit.swap_reason}"
    if unit.depends_on:
        lines.append(f"after {', '.join(unit.depends_on)}")
    for line in lines:
        console.print(Text(f"  {clean_message(line)}", "dim"), soft_wrap=True)
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in unit.columns:
        lossy = f"! lossy: {column.reason}" if column.lossy else column.reason
        table.add_row(
            Text(f"    {clean_message(column.name)}"),
            Text(column.source_type),
            Text(f"→ {column.target_type}"),
            Text("" if column.nullable else "not null", "dim"),
            Text(clean_message(lossy), "yellow" if column.lossy else "dim"),
        )
    console.print(table)
    for warning in unit.warnings:
        console.print(Text(f"  ! {clean_message(warning)}", "yellow"), soft_wrap=True)
    for error in unit.errors:
        console.print(Text(f"  ✕ {clean_message(error)}", "red"), soft_wrap=True)
