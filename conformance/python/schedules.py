"""Functions that run by the clock, and their ticks."""

import collections
import datetime

import inngest

ticks: dict[str, list[tuple[str, inngest.Event]]] = collections.defaultdict(list)


def define(client: inngest.Inngest) -> list[inngest.Function]:
    functions: list[inngest.Function] = []

    def ticks_by(fn_id: str, *triggers: inngest.TriggerCron | inngest.TriggerEvent) -> None:
        @client.create_function(fn_id=fn_id, trigger=list(triggers))
        async def handler(ctx: inngest.Context):
            async def note() -> str:
                ticks[fn_id].append((ctx.run_id, ctx.event))
                return ctx.event.name

            return await ctx.step.run("note", note)

        functions.append(handler)

    ticks_by("each-minute", inngest.TriggerCron(cron="* * * * *"))
    ticks_by("in-tokyo", inngest.TriggerCron(cron="TZ=Asia/Tokyo */1 * * * *"))
    ticks_by("by-two-schedules", inngest.TriggerCron(cron="* * * * *"), inngest.TriggerCron(cron="*/1 0-23 * * *"))
    ticks_by("or-by-an-event", inngest.TriggerCron(cron="* * * * *"), inngest.TriggerEvent(event=f"{client.app_id}/tick"))
    ticks_by("with-jitter", inngest.TriggerCron(cron="* * * * *", jitter="2s"))
    far_off = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=60)
    ticks_by("far-off", inngest.TriggerCron(cron=f"0 0 1 {far_off.month} *"))
    return functions
