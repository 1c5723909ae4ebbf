using System.Text.Json;

using Tanjiren.Protocol;

using static Tanjiren.EndToEnd.Tests.Cli.FakeControlPlane;

namespace Tanjiren.EndToEnd.Tests.Cli;

public sealed class ReadCommandsTests : IAsyncLifetime
{
    private const string TaskPath = $"/api/tasks/{Wire.TaskId}";
    private readonly CliRun cli = new();
    private FakeControlPlane server = null!;

    public async ValueTask InitializeAsync()
    {
        server = await FakeControlPlane.StartAsync();
        cli.SignedIn(server);
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        cli.Dispose();
    }

    [Fact]
    public async Task Logs_are_read_page_by_page_step_by_step_byte_for_byte()
    {
        byte[] odd = [0xff, 0x00, 0x0d, 0x0a, 0xc3];
        server.On("GET", TaskPath, Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded, 0), Wire.Step(StepState.Succeeded, 0, id: Wire.StepB)));
        server.On("GET", $"{TaskPath}/steps/{Wire.StepA}/logs", (context, n) => JsonAsync(context, n == 1
            ? new Page<LogChunkBody> { Items = [Wire.Chunk(odd)], NextCursor = "c/1" }
            : new Page<LogChunkBody> { Items = [Wire.Chunk(odd, seq: 2), Wire.Chunk("e"u8.ToArray(), LogStream.Stderr, seq: 3)] }));
        server.On("GET", $"{TaskPath}/steps/{Wire.StepB}/logs", new Page<LogChunkBody> { Items = [Wire.Chunk("b"u8.ToArray(), step: Wire.StepB)] });

        (await cli.InvokeAsync("jobs", "logs", Wire.TaskId, "--raw")).ShouldBe(0);
        cli.Output.Bytes.ShouldBe([.. odd, .. odd, (byte)'b']);
        cli.Error.Text.ShouldBe("e");
        server.To("GET", $"{TaskPath}/steps/{Wire.StepA}/logs").Select(r => r.Query).ShouldBe(["?limit=32", "?cursor=c%2F1&limit=32"]);

        (await cli.InvokeAsync("jobs", "logs", Wire.TaskId, "--step", Wire.StepB, "--json")).ShouldBe(0);
        JsonSerializer.Deserialize(cli.Output.Bytes, WireJson.Default.LogChunkBody)!.Data.ShouldBe("b"u8.ToArray());
        (await cli.InvokeAsync("jobs", "logs", Wire.TaskId, "--step", "step_x")).ShouldBe(125);
    }

    /// <summary>Every command that has <c>-o</c> prints for a program what <c>--json</c> and the id are, and nothing beside it.</summary>
    [Fact]
    public async Task Ids_alone_or_json_for_the_next_command_of_a_script()
    {
        var job = Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded, 0));
        server.On("GET", TaskPath, job);
        server.On("GET", "/api/tasks", new Page<TaskBody> { Items = [job, job with { Id = "task_b" }] });

        (await cli.InvokeAsync("jobs", "list", "-o", "id")).ShouldBe(0);
        (cli.Output.Text, cli.Error.Text).ShouldBe(($"{Wire.TaskId}\ntask_b\n", ""));
        (await cli.InvokeAsync("jobs", "show", Wire.TaskId, "--output", "id")).ShouldBe(0);
        (cli.Output.Text, cli.Error.Text).ShouldBe(($"{Wire.TaskId}\n", ""));
        (await cli.InvokeAsync("jobs", "show", Wire.TaskId, "-o", "json")).ShouldBe(0);
        var json = cli.Output.Text;
        JsonSerializer.Deserialize(json, WireJson.Default.TaskBody)!.Id.ShouldBe(Wire.TaskId);
        (await cli.InvokeAsync("jobs", "show", Wire.TaskId, "--json")).ShouldBe(0);
        cli.Output.Text.ShouldBe(json);
    }

    [Theory]
    [InlineData("error: both --json and -o id are given; give one of them", "jobs", "list", "--json", "-o", "id")]
    [InlineData("error: --output: 'yaml' is not one of id, json", "jobs", "list", "-o", "yaml")]
    [InlineData("error: -o id is given, and the job is not detached", "jobs", "run", "--tag", "x", "-o", "id", "--", "true")]
    public async Task What_cannot_be_printed_is_said_before_anything_is_asked(string said, params string[] arguments)
    {
        (await cli.InvokeAsync(arguments)).ShouldBe(125);
        cli.Error.Text.ShouldStartWith(said + "\nhint: ");
        cli.Output.Text.ShouldBeEmpty();
        server.Requests.ShouldBeEmpty();
    }

    [Fact]
    public async Task Following_shows_one_step_until_the_end_and_exits_zero()
    {
        server.On("GET", TaskPath, Wire.Task(TaskState.Executing, Wire.Step(StepState.Running), Wire.Step(StepState.Running, id: Wire.StepB)));
        server.On("GET", TaskPath + "/events", async (context, _) =>
        {
            await EventAsync(context, 1, "log", Wire.Log("a"));
            await EventAsync(context, 2, "log", Wire.Log("b", step: Wire.StepB));
            await EventAsync(context, 3, "end", Wire.Event(Wire.Task(TaskState.Failed, Wire.Step(StepState.Failed, 1))));
        });
        (await cli.InvokeAsync("jobs", "logs", "--follow", Wire.TaskId, "--step", Wire.StepB)).ShouldBe(0);
        cli.Output.Text.ShouldBe("b");
    }

    [Fact]
    public async Task Ctrl_C_leaves_a_followed_job_alone()
    {
        server.On("GET", TaskPath, Wire.Task(TaskState.Executing, Wire.Step(StepState.Running)));
        server.On("GET", TaskPath + "/events", async (context, _) =>
        {
            await EventAsync(context, 1, "log", Wire.Log("a"));
            cli.Interrupts.Raise();
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
        });
        (await cli.InvokeAsync("jobs", "logs", "-f", Wire.TaskId)).ShouldBe(130);
        server.Requests.ShouldAllBe(r => r.Method == "GET");
    }

    [Fact]
    public async Task A_list_goes_on_over_pages_up_to_its_limit()
    {
        server.On("GET", "/api/tasks", (context, n) => JsonAsync(context, new Page<TaskBody>
        {
            Items = [.. Enumerable.Repeat(Wire.Task(TaskState.Completed) with { Execution = null, Intent = "evil \u001b[2Jtext" }, n == 1 ? 200 : 50)], NextCursor = "next",
        }));
        (await cli.InvokeAsync("jobs", "list", "--limit", "250", "--status", "completed")).ShouldBe(0);
        server.Requests.Select(r => r.Query).ShouldBe(["?status=completed&limit=200", "?status=completed&limit=50&cursor=next"]);
        var lines = cli.Output.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        lines.Length.ShouldBe(251);
        lines[1].ShouldContain("completed");
        cli.Output.Text.ShouldNotContain("\u001b");
        cli.Error.Text.ShouldContain("--limit 500");
    }

    [Fact]
    public async Task Colour_is_for_terminals_without_NO_COLOR()
    {
        server.On("GET", "/api/instances", new Page<InstanceBody> { Items = [Wire.Instance("one", "gpu")] });
        cli.Terminal = true;
        await cli.InvokeAsync("workstations", "list");
        cli.Output.Text.ShouldContain("\u001b[");
        cli.Variables["NO_COLOR"] = "1";
        await cli.InvokeAsync("workstations", "list");
        cli.Output.Text.ShouldNotContain("\u001b");
        cli.Output.Text.Split('\n')[1].ShouldBe("one    online   1/4       linux/amd64   gpu    never       ws_01jd0000000000000000000000");
    }

    [Fact]
    public async Task Show_tells_a_job_and_its_steps()
    {
        server.On("GET", TaskPath, Wire.Task(TaskState.Failed, Wire.Step(StepState.Failed, reason: StepReason.WorkerLost, detail: "silent"),
            Wire.Step(StepState.Failed, 3, StepReason.ExitCode, id: Wire.StepB, name: "b")));
        (await cli.InvokeAsync("jobs", "show", Wire.TaskId)).ShouldBe(0);
        cli.Output.Text.ShouldContain("failed (workerLost): silent");
        cli.Output.Text.ShouldContain("exit code 3");
        (await cli.InvokeAsync("jobs", "show", Wire.TaskId, "--json")).ShouldBe(0);
        JsonSerializer.Deserialize(cli.Output.Bytes, WireJson.Default.TaskBody)!.Id.ShouldBe(Wire.TaskId);
    }

    [Theory]
    [InlineData("tag", """{"addTags":["a","b"]}""")]
    [InlineData("untag", """{"removeTags":["a","b"]}""")]
    public async Task Tags_change_atomically(string verb, string body)
    {
        server.On("PATCH", "/api/instances/my%20box", Wire.Instance("my box", "a"));
        (await cli.InvokeAsync("workstations", verb, "my box", "a", "b")).ShouldBe(0);
        server.Requests.Single().Body.ShouldBe(body);
        cli.Output.Text.ShouldBe("my box: a\n");
    }

    [Fact]
    public async Task Removing_needs_a_yes()
    {
        var one = Wire.Instance("one");
        server.On("GET", "/api/instances/one", one);
        server.On("DELETE", "/api/instances/" + one.Id, (context, _) =>
        {
            context.Response.StatusCode = 204;
            return Task.CompletedTask;
        });
        (await cli.InvokeAsync("workstations", "remove", "one")).ShouldBe(125);
        cli.Terminal = true;
        cli.Input = "n\n";
        (await cli.InvokeAsync("workstations", "remove", "one")).ShouldBe(130);
        server.To("DELETE", "/api/instances/" + one.Id).ShouldBeEmpty();
        cli.Input = "y\n";
        (await cli.InvokeAsync("workstations", "remove", "one")).ShouldBe(0);
        (await cli.InvokeAsync("workstations", "remove", "one", "--yes")).ShouldBe(0);
        server.To("DELETE", "/api/instances/" + one.Id).Count.ShouldBe(2);
    }

    [Theory]
    [InlineData("error: 'rum' is not a command of tanvrit-compute jobs; did you mean 'run'?", "jobs", "rum")]
    [InlineData("error: Unrecognized command or argument '--nope'.", "jobs", "list", "--nope")]
    [InlineData("error: Required argument missing for option: '--env'.", "jobs", "run", "--env")]
    public async Task Typing_errors_say_where_to_look(string first, params string[] args)
    {
        (await cli.InvokeAsync(args)).ShouldBe(125);
        var lines = cli.Error.Text.Split('\n');
        lines[0].ShouldBe(first);
        lines[1].ShouldStartWith("hint: see `tanvrit-compute ");
        cli.Output.Bytes.ShouldBeEmpty();
    }
}
