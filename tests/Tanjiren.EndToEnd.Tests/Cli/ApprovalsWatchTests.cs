using System.Text.Json;

using Microsoft.AspNetCore.Http;

using Tanjiren.Protocol;
using Tanjiren.Tests;

using static Tanjiren.EndToEnd.Tests.Cli.FakeControlPlane;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>approvals watch</c> over lines that break and servers that say no. Against a real server: ApprovalCommandsTests.</summary>
public sealed class ApprovalsWatchTests : IAsyncLifetime
{
    private const string Events = "/api/approvals/events";

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

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Each_is_told_once_over_lost_connections_also_one_that_was_asked_meanwhile(bool json)
    {
        server.On("GET", Events, async (context, n) =>
        {
            switch (n)
            {
                case 1:
                    await EventAsync(context, ApprovalEvents.Pending, Asked('a'));
                    await EventAsync(context, ApprovalEvents.Current);
                    await EventAsync(context, ApprovalEvents.Requested, Asked('b'));
                    await EventAsync(context, ApprovalEvents.Rejected, Asked('a') with { State = ApprovalState.Rejected });
                    await EventAsync(context, "aNameOfTomorrow", Asked('b'));
                    // An abort throws away what the client has not read yet, so it has to have read it.
                    await Eventually.TrueAsync(() => cli.Output.Text.Contains(Id('b'), StringComparison.Ordinal));
                    context.Abort();
                    break;
                case 2:
                    await ProblemAsync(context, ErrorCode.Unavailable, 503, "starting");
                    break;
                case 3:
                    await EventAsync(context, ApprovalEvents.Pending, Asked('b')); // and ends before it has told all: nothing is forgotten
                    break;
                default:
                    await EventAsync(context, ApprovalEvents.Pending, Asked('b'));
                    await EventAsync(context, ApprovalEvents.Pending, Asked('c'));
                    await EventAsync(context, ApprovalEvents.Current);
                    await EventAsync(context, ApprovalEvents.Requested, Asked('d'));
                    await HangAsync(context);
                    break;
            }
        });

        var watch = json ? cli.InvokeAsync("approvals", "watch", "--json") : cli.InvokeAsync("approvals", "watch");
        await Eventually.TrueAsync(() => cli.Output.Text.Contains(Id('d'), StringComparison.Ordinal), () => cli.Error.Text);
        cli.Interrupts.Raise();
        (await watch).ShouldBe(0, cli.Error.Text);

        var lines = cli.Output.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        if (json) lines.Select(line => JsonSerializer.Deserialize(line, WireJson.Default.ApprovalBody)!.Id).ShouldBe("abcd".Select(Id));
        else lines.ShouldBe("abcd".Select(i => $"{Wire.TaskId}  {Id(i)}  sensitive_write  restart {i}  (The task asks for it itself; until {lines[0].Split("until ")[1]}"));
        server.Requests.ShouldAllBe(r => r.Path == Events, "it is told, and never polls");
    }

    [Fact]
    public async Task A_long_loss_is_told_once_and_so_is_the_return()
    {
        server.On("GET", Events, async (context, n) =>
        {
            if (!cli.Error.Text.Contains("lost the connection", StringComparison.Ordinal)) return; // ends at once
            await EventAsync(context, ApprovalEvents.Current);
            await HangAsync(context);
        });
        var watch = cli.InvokeAsync("approvals", "watch");
        await Eventually.TrueAsync(() => cli.Error.Text.Contains("connected again", StringComparison.Ordinal), () => cli.Error.Text);
        cli.Interrupts.Raise();
        (await watch).ShouldBe(0);
        cli.Error.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).ShouldBe([$"lost the connection to {server.Url} (the server ended it); trying again …", "connected again"]);
    }

    [Fact]
    public async Task A_server_without_the_route_is_named_and_not_polled()
    {
        (await cli.InvokeAsync("approvals", "watch")).ShouldBe(125);
        cli.Error.Text.ShouldContain("error: this server does not tell of approvals as they come (it has no GET /api/approvals/events): it is older than this command line");
        cli.Error.Text.ShouldContain("hint: update the server");
        server.Requests.ShouldHaveSingleItem();
    }

    [Fact]
    public async Task Lost_access_ends_it_and_so_does_an_answer_that_is_no_stream()
    {
        server.On("GET", Events, async (context, n) =>
        {
            if (n == 1) await EventAsync(context, ApprovalEvents.Current); // the server ends the stream of who may no more
            else await ProblemAsync(context, ErrorCode.InvalidCredentials, 401, "no member any more");
        });
        (await cli.InvokeAsync("approvals", "watch")).ShouldBe(125);
        cli.Error.Text.ShouldStartWith("error: no member any more\n");

        server.On("GET", Events, (context, _) =>
        {
            context.Response.ContentType = "text/html";
            return context.Response.WriteAsync("<p>Sign in to this network</p>");
        });
        (await cli.InvokeAsync("approvals", "watch")).ShouldBe(125);
        cli.Error.Text.ShouldContain("in a form that is not a Tanjiren server's");
    }

    private static async Task EventAsync(HttpContext context, string name, ApprovalBody? approval = null)
    {
        if (!context.Response.HasStarted) context.Response.ContentType = "text/event-stream";
        await context.Response.WriteAsync($"event: {name}\ndata: {JsonSerializer.Serialize(new ApprovalEventBody { Approval = approval }, WireJson.Default.ApprovalEventBody)}\n\n");
        await context.Response.Body.FlushAsync();
    }

    /// <summary>Keeps the stream open until the client leaves.</summary>
    private static Task HangAsync(HttpContext context) =>
        Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);

    private static string Id(char which) => $"apr_01jd000000000000000000000{which}";

    private static ApprovalBody Asked(char which) => new()
    {
        Id = Id(which), TaskId = Wire.TaskId, Intent = $"restart {which}", Class = ApprovalClass.SensitiveWrite, State = ApprovalState.Pending,
        Findings = [new ApprovalFindingBody { Rule = "request", Effect = "sensitive_write", Because = "The task asks for it itself." }],
        ActionHash = "00", DoctrineVersion = 1, RequestedBy = "usr_01jd0000000000000000000000", RequestedAt = Wire.Noon, ExpiresAt = Wire.Noon.AddDays(7),
    };
}
