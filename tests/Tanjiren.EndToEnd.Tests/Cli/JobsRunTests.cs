using System.Text.Json;

using Microsoft.AspNetCore.Http;

using Tanjiren.Protocol;

using static Tanjiren.EndToEnd.Tests.Cli.FakeControlPlane;

namespace Tanjiren.EndToEnd.Tests.Cli;

public sealed class JobsRunTests : IAsyncLifetime
{
    private const string Tasks = "/api/tasks";
    private const string Events = $"/api/tasks/{Wire.TaskId}/events";
    private const string Cancel = $"/api/tasks/{Wire.TaskId}/cancel";

    private readonly CliRun cli = new();
    private FakeControlPlane server = null!;

    public async ValueTask InitializeAsync()
    {
        server = await FakeControlPlane.StartAsync();
        server.On("POST", Tasks, Wire.Task(TaskState.Queued, Wire.Step(StepState.Queued)), 201);
        cli.SignedIn(server);
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        cli.Dispose();
    }

    [Fact]
    public async Task Output_arrives_byte_for_byte_on_its_own_stream_and_the_exit_code_is_the_jobs()
    {
        byte[] odd = [0xff, 0x00, 0xc3, 0x28, .. "\u001b[31mred\u001b[0m\r\n"u8];
        server.On("GET", Events, async (context, _) =>
        {
            await EventAsync(context, 1, "log", Wire.Log(odd, seq: 1));
            await EventAsync(context, 2, "log", Wire.Log("err", LogStream.Stderr, seq: 2));
            await EventAsync(context, 3, "log", Wire.Log(" cut here", LogStream.System, seq: 3));
            await EventAsync(context, 4, "end", Wire.Event(Wire.Task(TaskState.Failed, Wire.Step(StepState.Failed, 7, StepReason.ExitCode))));
        });

        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "prog", "--all", "--", "@x", "")).ShouldBe(7);

        cli.Output.Bytes.ShouldBe(odd);
        cli.Error.Text.ShouldBe("err cut here");
        var sent = JsonSerializer.Deserialize(server.To("POST", Tasks).Single().Body, WireJson.Default.CreateTaskRequest)!;
        sent.Command!.Argv.ShouldBe(["prog", "--all", "--", "@x", ""]);
        server.Requests.ShouldAllBe(r => r["Authorization"] == "Bearer tnv_test");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_lost_stream_is_resumed_after_the_last_whole_event_and_nothing_comes_twice(bool graceful)
    {
        server.On("GET", Events, async (context, n) =>
        {
            if (n == 1)
            {
                await EventAsync(context, 1, "log", Wire.Log("one ", seq: 1));
                await EventAsync(context, 2, "log", Wire.Log("two ", seq: 2));
                // An abort throws away what the client has not read yet, so it has to have read it.
                while (!cli.Output.Text.EndsWith("two ", StringComparison.Ordinal)) await Task.Delay(TimeSpan.FromMilliseconds(2), TimeProvider.System, context.RequestAborted);
                // Half an event, then the connection breaks: it must not count.
                await context.Response.WriteAsync(EventText(3, "log", Wire.Log("three ", seq: 3)).TrimEnd('\n') + "\n");
                await context.Response.Body.FlushAsync();
                if (!graceful) context.Abort();
                return;
            }
            if (n is 2 or 3)
            {
                await ProblemAsync(context, ErrorCode.Unavailable, 503, "starting");
                return;
            }
            await EventAsync(context, 3, "log", Wire.Log("three ", seq: 3));
            await EventAsync(context, 4, "end", Wire.Event(Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded, 0))));
        });

        // However slow the machine is, this is no long loss.
        cli.Timeouts = cli.Timeouts with { TellAfter = TimeSpan.FromSeconds(90) };
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "x")).ShouldBe(0);

        cli.Output.Text.ShouldBe("one two three ");
        server.To("GET", Events).Select(r => r["Last-Event-ID"]).ShouldBe(["", "2", "2", "2"]);
        cli.Error.Text.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_long_loss_is_told_once_and_so_is_the_return()
    {
        server.On("GET", Events, async (context, n) =>
        {
            if (cli.Error.Text.Contains("lost the connection"))
                await EventAsync(context, 4, "end", Wire.Event(Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded, 0))));
            else
                context.Abort();
        });

        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "x")).ShouldBe(0);

        cli.Error.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).ShouldBe(
            [$"lost the connection to {server.Url}; the job goes on, trying again …", "connected again"]);
    }

    [Fact]
    public async Task Silence_longer_than_the_keep_alive_counts_as_a_lost_connection()
    {
        cli.Timeouts = cli.Timeouts with { StreamIdle = TimeSpan.FromMilliseconds(50) };
        server.On("GET", Events, async (context, n) =>
        {
            // By what the client has: on a slow machine a connection may count as lost before it was silent.
            var last = context.Request.Headers["Last-Event-ID"].ToString();
            if (last == "") await EventAsync(context, 1, "log", Wire.Log("1 ", seq: 1));
            if (last == "" || n == 2) await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
            if (last == "1") await EventAsync(context, 2, "log", Wire.Log("2 ", seq: 2));
            await EventAsync(context, 9, "end", Wire.Event(Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded, 0))));
        });

        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "x")).ShouldBe(0);
        cli.Output.Text.ShouldBe("1 2 ");
    }

    /// <summary>A job that prints nothing for hours sends no event either; only time without a connection counts.</summary>
    [Fact]
    public async Task Connections_that_stand_for_long_and_bring_nothing_do_not_add_up()
    {
        var clock = new JumpingClock();
        cli.Clock = clock;
        server.On("GET", Events, async (context, n) =>
        {
            await context.Response.Body.FlushAsync();
            if (n == 4) await EventAsync(context, 1, "end", Wire.Event(Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded, 0))));
            else clock.Jump(cli.Timeouts.GiveUp * 0.7);
        });

        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "x")).ShouldBe(0);
        server.To("GET", Events).Count.ShouldBe(4);
    }

    /// <summary>Real timers, and an elapsed time that jumps: pauses stay short while hours go by.</summary>
    private sealed class JumpingClock : TimeProvider
    {
        private long jumped;

        public void Jump(TimeSpan by) => Interlocked.Add(ref jumped, (long)(by.TotalSeconds * TimestampFrequency));

        public override long GetTimestamp() => base.GetTimestamp() + Interlocked.Read(ref jumped);
    }

    [Fact]
    public async Task A_follower_gives_up_in_the_end_and_says_that_the_job_goes_on()
    {
        cli.Timeouts = cli.Timeouts with { GiveUp = TimeSpan.FromMilliseconds(150), TellAfter = TimeSpan.FromMilliseconds(50) };
        server.On("GET", Events, (context, _) =>
        {
            context.Abort();
            return Task.CompletedTask;
        });

        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "x")).ShouldBe(125);
        cli.Error.Text.ShouldContain("the job goes on without this command");
        cli.Error.Text.ShouldContain($"jobs logs --follow {Wire.TaskId}");
    }

    [Fact]
    public async Task A_lost_answer_to_the_creation_is_asked_for_again_under_the_same_key()
    {
        server.On("POST", Tasks, async (context, n) =>
        {
            if (n < 3) context.Abort();
            else await JsonAsync(context, Wire.Task(TaskState.Queued, Wire.Step(StepState.Queued)), 201);
        });

        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--detach", "--", "x")).ShouldBe(0);

        var keys = server.To("POST", Tasks).Select(r => r["Idempotency-Key"]).ToList();
        keys.Count.ShouldBe(3);
        keys.Distinct().Single().ShouldNotBeEmpty();
        cli.Output.Text.ShouldBe(Wire.TaskId + "\n");
    }

    [Fact]
    public async Task Every_run_has_a_key_of_its_own_unless_one_is_given()
    {
        await cli.InvokeAsync("jobs", "run", "-w", "a", "--detach", "--", "x");
        await cli.InvokeAsync("jobs", "run", "-w", "a", "--detach", "--", "x");
        await cli.InvokeAsync("jobs", "run", "-w", "a", "--detach", "--idempotency-key", "mine", "--", "x");

        var keys = server.To("POST", Tasks).Select(r => r["Idempotency-Key"]).ToList();
        keys.Distinct().Count().ShouldBe(3);
        keys[2].ShouldBe("mine");
    }

    [Fact]
    public async Task A_server_out_of_reach_is_an_own_failure_at_once()
    {
        await server.DisposeAsync();
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "x")).ShouldBe(125);
        cli.Error.Text.ShouldStartWith($"error: can't reach {new Uri(cli.ServerUrl).GetLeftPart(UriPartial.Authority)}: connection refused");
        cli.Error.Text.ShouldContain("hint: ");
    }

    [Fact]
    public async Task A_refusal_names_each_field()
    {
        server.On("POST", Tasks, (context, _) => ProblemAsync(context, ErrorCode.ValidationFailed, 422, "The job can't be created.", "Correct the fields.",
            new Dictionary<string, string[]> { ["targets.tags[0]"] = ["is not a tag\u001b[31m"] }));

        (await cli.InvokeAsync("jobs", "run", "--tag", "!", "--", "x")).ShouldBe(125);
        cli.Error.Text.ShouldBe("error: The job can't be created.\n  targets.tags[0]: is not a tag\uFFFD[31m\n");
        cli.Output.Bytes.ShouldBeEmpty();
    }

    [Fact]
    public async Task An_answer_that_is_not_ours_is_called_that()
    {
        server.On("POST", Tasks, (context, _) =>
        {
            context.Response.StatusCode = 404;
            return context.Response.WriteAsync("<html>nginx</html>");
        });
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "x")).ShouldBe(125);
        cli.Error.Text.ShouldContain("answered 404 Not Found in a form that is not a Tanjiren server's");
    }

    [Fact]
    public async Task Ctrl_C_cancels_at_once_and_the_stream_goes_on_to_the_end()
    {
        var cancelled = new TaskCompletionSource();
        server.On("POST", Cancel, async (context, n) =>
        {
            // The first answer is lost as well: the cancel is sent again until it is answered.
            if (n == 1)
            {
                context.Abort();
                return;
            }
            await JsonAsync(context, Wire.Task(TaskState.Executing, Wire.Step(StepState.Running)));
            cancelled.SetResult();
        });
        server.On("GET", Events, async (context, _) =>
        {
            await EventAsync(context, 1, "log", Wire.Log("before "));
            cli.Interrupts.Raise();
            await cancelled.Task.WaitAsync(context.RequestAborted);
            await EventAsync(context, 2, "log", Wire.Log("after ", seq: 2));
            await EventAsync(context, 3, "end", Wire.Event(Wire.Task(TaskState.Cancelled, Wire.Step(StepState.Cancelled, reason: StepReason.Cancelled))));
        });

        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "x")).ShouldBe(130);
        cli.Output.Text.ShouldBe("before after ");
        cli.Error.Text.ShouldContain($"cancelling {Wire.TaskId}");
    }

    [Fact]
    public async Task A_second_Ctrl_C_leaves_and_says_that_the_cancel_goes_on()
    {
        server.On("POST", Cancel, async (context, _) =>
        {
            await JsonAsync(context, Wire.Task(TaskState.Executing, Wire.Step(StepState.Running)));
            cli.Interrupts.Raise();
        });
        server.On("GET", Events, async (context, _) =>
        {
            await EventAsync(context, 1, "log", Wire.Log("before "));
            cli.Interrupts.Raise();
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
        });

        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "x")).ShouldBe(130);
        cli.Error.Text.ShouldContain($"left; {Wire.TaskId} is still being cancelled");
    }

    [Fact]
    public async Task Several_steps_are_led_by_their_names_line_by_line()
    {
        server.On("GET", Events, async (context, _) =>
        {
            await EventAsync(context, 1, "task", Wire.Event(Wire.Task(TaskState.Executing, Wire.Step(StepState.Running, name: "one"), Wire.Step(StepState.Running, id: Wire.StepB, name: "two"))));
            await EventAsync(context, 2, "log", Wire.Log("a1\na"));
            await EventAsync(context, 3, "log", Wire.Log("b1\n", step: Wire.StepB));
            await EventAsync(context, 4, "log", Wire.Log("2\nlast", seq: 2));
            await EventAsync(context, 5, "end", Wire.Event(Wire.Task(TaskState.Failed,
                Wire.Step(StepState.Failed, 3, StepReason.ExitCode, name: "one"), Wire.Step(StepState.Failed, 9, StepReason.ExitCode, id: Wire.StepB, name: "two"))));
        });

        (await cli.InvokeAsync("jobs", "run", "--tag", "t", "--all", "--", "x")).ShouldBe(9);
        cli.Output.Text.ShouldBe("one | a1\ntwo | b1\none | a2\none | last\n");
        cli.Error.Text.ShouldBe("one: exit code 3\ntwo: exit code 9\n");

        (await cli.InvokeAsync("jobs", "run", "--tag", "t", "--all", "--raw", "--", "x")).ShouldBe(9);
        cli.Output.Text.ShouldBe("a1\nab1\n2\nlast");
    }

    [Fact]
    public async Task Json_is_the_only_thing_on_stdout()
    {
        server.On("GET", Events, async (context, _) =>
        {
            await EventAsync(context, 1, "log", Wire.Log("noise"));
            await EventAsync(context, 2, "end", Wire.Event(Wire.Task(TaskState.Failed, Wire.Step(StepState.Failed, 4, StepReason.ExitCode))));
        });
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--json", "--", "x")).ShouldBe(4);
        var task = JsonSerializer.Deserialize(cli.Output.Bytes, WireJson.Default.TaskBody)!;
        task.Execution!.Steps[0].ExitCode.ShouldBe(4);
    }

    [Fact]
    public async Task Output_that_never_arrives_is_not_waited_for_for_ever()
    {
        cli.Timeouts = cli.Timeouts with { MissingLogs = TimeSpan.FromMilliseconds(100) };
        server.On("GET", Events, async (context, _) =>
        {
            await EventAsync(context, 1, "task", Wire.Event(Wire.Task(TaskState.Failed, Wire.Step(StepState.Failed, reason: StepReason.WorkerLost, detail: "silent"))));
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
        });
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "x")).ShouldBe(126);
        cli.Error.Text.ShouldContain("some of the output has not arrived yet");
        cli.Error.Text.ShouldContain("a: failed (workerLost): silent");
    }

    [Fact]
    public async Task A_job_that_waits_says_for_what()
    {
        cli.Timeouts = cli.Timeouts with { TellWaiting = TimeSpan.FromMilliseconds(20) };
        server.On("POST", Tasks, Wire.Task(TaskState.Queued, Wire.Step(StepState.Queued)) with { Targets = new TargetSpec { Tags = ["gpu"], Labels = new Dictionary<string, string> { ["memoryMb"] = ">=9" } } }, 201);
        server.On("GET", Events, async (context, _) =>
        {
            while (!cli.Error.Text.Contains("waits for")) await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, context.RequestAborted);
            await EventAsync(context, 1, "end", Wire.Event(Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded, 0))));
        });
        (await cli.InvokeAsync("jobs", "run", "--tag", "gpu", "--label", "memoryMb>=9", "--", "x")).ShouldBe(0);
        cli.Error.Text.ShouldContain($"{Wire.TaskId} waits for a workstation with tag gpu, memoryMb>=9");
    }

    [Fact]
    public async Task Every_flag_reaches_its_field()
    {
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "-w", "b", "--tag", "t", "--label", "os=linux", "--label", "memoryMb>=16", "--any", "--timeout", "2m",
            "--queue-timeout", "1h", "--max-parallel", "0", "--stop-after-failures", "2", "--on-worker-lost", "requeue", "--lease-grace", "7", "--env", "A=1=2",
            "-e", "B", "--cwd", "/tmp", "--intent", "why", "--priority", "-5", "--cpu", "1.5", "--memory-mb", "10", "--gpu-count", "1", "--shell", "echo $A", "-d")).ShouldBe(0);
        server.To("POST", Tasks).Single().Body.ShouldBe(JsonSerializer.Serialize(new CreateTaskRequest
        {
            Intent = "why",
            Command = new CommandSpec { Shell = "echo $A" },
            Targets = new TargetSpec { Workstations = ["a", "b"], Tags = ["t"], Labels = new Dictionary<string, string> { ["os"] = "linux", ["memoryMb"] = ">=16" }, Placement = Placement.Any },
            WorkingDirectory = "/tmp",
            Environment = new Dictionary<string, string> { ["A"] = "1=2" },
            EnvironmentFromMachine = ["B"],
            MaxParallel = 0,
            StopAfterFailures = 2,
            TimeoutSeconds = 120,
            QueueTimeoutSeconds = 3600,
            LeaseGraceSeconds = 7,
            OnWorkerLost = OnWorkerLost.Requeue,
            Resources = new ResourceSpec { Cpu = 1.5, MemoryMb = 10, GpuCount = 1 },
            Priority = -5,
        }, WireJson.Default.CreateTaskRequest));
    }

    [Theory]
    [InlineData("it is not said where to run", "--", "x")]
    [InlineData("there is no command to run", "-w", "a")]
    [InlineData("the command must come after `--`", "-w", "a", "ls", "--all")]
    [InlineData("the command must come after `--`", "-w", "a", "ls", "--", "x")]
    [InlineData("both --all and --any are given", "-w", "a", "--all", "--any", "--", "x")]
    [InlineData("both --shell and a command after `--` are given", "-w", "a", "--shell", "x", "--", "x")]
    [InlineData("--timeout: '0' is not a duration", "-w", "a", "--timeout", "0", "--", "x")]
    [InlineData("--on-worker-lost: 'retry' is not one of fail, requeue", "-w", "a", "--on-worker-lost", "retry", "--", "x")]
    [InlineData("--env '=x' names no variable", "-w", "a", "--env", "=x", "--", "x")]
    [InlineData("--label 'os' is not a condition", "--label", "os", "--", "x")]
    public async Task Bad_usage_is_told_before_anything_is_sent(string message, params string[] args)
    {
        (await cli.InvokeAsync(["jobs", "run", .. args])).ShouldBe(125);
        cli.Error.Text.ShouldStartWith("error: " + message);
        server.Requests.ShouldBeEmpty();
    }
}
