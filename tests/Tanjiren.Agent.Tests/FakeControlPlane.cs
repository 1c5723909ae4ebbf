using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests;

/// <summary>
/// The workstation's side of the protocol over real HTTP, with the rules that an agent can meet and the faults that a network adds. One workstation, one session at a
/// time. Faults are armed per route: pair, token, sessions, heartbeat, work, claim, logs, answers, complete, release, permissions (ask), permission (wait), settle.
/// </summary>
internal sealed partial class FakeControlPlane : IAsyncDisposable
{
    public const string InstanceId = "ws_00000000000000000000000001";

    private readonly WebApplication app;
    private readonly Lock gate = new();
    private readonly ConcurrentDictionary<string, int> lostAnswers = new();
    private readonly ConcurrentDictionary<string, ConcurrentQueue<(int Status, ProblemBody? Problem, int? RetryAfter)>> refusals = new();
    private readonly ConcurrentDictionary<string, TaskCompletionSource> holds = new();
    private readonly Dictionary<string, FakeStep> steps = [];
    private readonly ECDsa serverKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private FakeControlPlane(WebApplication app) => (this.app, ServerKey) = (app, Jwk.FromKey(serverKey));

    public string Url { get; private set; } = "";
    public string Nonce { get; set; } = "nonce-1";
    /// <summary>Whether heartbeats carry what is queued, as they always do at a real server.</summary>
    public bool PendingInHeartbeats { get; set; }
    /// <summary>What it asks for between two heartbeats.</summary>
    public int HeartbeatSeconds { get; set; } = 30;
    /// <summary>Whether a heartbeat's answer about a lease that it named tells the claim.</summary>
    public bool TellsNamedClaims { get; set; } = true;
    /// <summary>Steps that long-polls have offered.</summary>
    public int WorkOffered { get; private set; }
    public int TokensIssued { get; private set; }
    public string? Token { get; set; }
    public string? Session { get; set; }
    public bool Down { get; set; }
    /// <summary>The sign-in of the workstation has ended: no work, no claims; the rest only while a lease is held.</summary>
    public bool SignedOut
    {
        get;
        set
        {
            field = value;
            Changed();
        }
    }

    public long TtlMs { get; set; } = 90_000;
    public long GraceMs { get; set; } = 120_000;
    public ConcurrentQueue<string> Requests { get; } = new();
    /// <summary>Route and <c>traceparent</c> of each proved request.</summary>
    public ConcurrentQueue<(string Route, string TraceParent)> Traces { get; } = new();
    public ConcurrentQueue<OpenSessionRequest> Sessions { get; } = new();
    public ConcurrentQueue<HeartbeatRequest> Heartbeats { get; } = new();
    public ConcurrentQueue<ClaimRequest> Claims { get; } = new();
    public ConcurrentQueue<CompleteRequest> Completes { get; } = new();

    public static async Task<FakeControlPlane> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.WebHost.ConfigureKestrel((KestrelServerOptions o) => o.AddServerHeader = false);
        var server = new FakeControlPlane(builder.Build());
        server.app.Run(server.HandleAsync);
        await server.app.StartAsync();
        server.Url = server.app.Urls.First();
        return server;
    }

    public int Count(string route) => Requests.Count(r => r == route);

    /// <summary>The next requests of a route are applied and their answers lost.</summary>
    public void LoseAnswers(string route, int count) => lostAnswers[route] = count;

    public void Refuse(string route, int status, ErrorCode code, int count = 1, double? clockOffset = null, string detail = "refused by the test", int? retryAfter = null)
    {
        var queue = refusals.GetOrAdd(route, _ => new());
        for (var i = 0; i < count; i++)
            queue.Enqueue((status, new ProblemBody { Title = code.ToString(), Detail = detail, Status = status, Code = ProblemBody.CodeName(code), ClockOffsetSeconds = clockOffset }, retryAfter));
    }

    /// <summary>As a proxy does: the next requests of a route are answered with its page and never reach the server.</summary>
    public void Intercept(string route, int status, int count = 1)
    {
        var queue = refusals.GetOrAdd(route, _ => new());
        for (var i = 0; i < count; i++) queue.Enqueue((status, null, null));
    }

    /// <summary>Requests with a larger body are answered with a proxy's 413.</summary>
    public int LargestBody { get; set; } = int.MaxValue;

    /// <summary>Requests of a route wait until the returned source completes.</summary>
    public TaskCompletionSource Hold(string route) => holds[route] = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void StopRefusing(string route) => refusals.TryRemove(route, out _);

    public FakeStep Enqueue(params string[] argv) => Add(new FakeStep { Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Argv = argv } });

    public FakeStep Shell(string text) => Add(new FakeStep { Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Shell = text } });

    /// <summary>A shell command that needs this much, offered again whenever it is handed back.</summary>
    public FakeStep Shell(string text, ResourceSpec resources) =>
        Add(new FakeStep { Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Shell = text }, Resources = resources, OfferedAgain = true });

    public FakeStep Prompt(string text, string? codingAgent = null, string workingDirectory = "/", long timeoutMs = 60_000) => Add(new FakeStep
    {
        Id = Ids.New(Ids.Step, TimeProvider.System), Mode = TaskMode.Prompt, PromptText = text, CodingAgent = codingAgent, WorkingDirectory = workingDirectory, TimeoutMs = timeoutMs,
    });

    public FakeStep Ask(IReadOnlyList<TaskQuestion> questions, string? codingAgent = null, string? about = null, long timeoutMs = 60_000) => Add(new FakeStep
    {
        Id = Ids.New(Ids.Step, TimeProvider.System), Mode = TaskMode.Investigate, PromptText = about, Questions = questions, CodingAgent = codingAgent, TimeoutMs = timeoutMs,
    });

    public FakeStep Add(FakeStep step)
    {
        lock (gate) steps[step.Id] = step;
        Changed();
        return step;
    }

    public void Cancel(FakeStep step)
    {
        step.CancelRequested = true;
        Changed();
    }

    /// <summary>As the reconciler does after TTL and grace: the lease is gone, the step is offered again or not.</summary>
    public void TakeAway(FakeStep step, bool requeue = false)
    {
        lock (gate)
        {
            step.Held = false;
            step.Generation++;
            step.Queued = requeue;
        }
        Changed();
    }

    public void EndSession()
    {
        Session = "ses_another";
        Changed();
    }

    public void Changed()
    {
        lock (gate)
        {
            changed.TrySetResult();
            changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var hold in holds.Values) hold.TrySetResult();
        using var soon = new CancellationTokenSource(TimeSpan.FromMilliseconds(50), TimeProvider.System);
        await app.StopAsync(soon.Token);
        await app.DisposeAsync();
        serverKey.Dispose();
    }

    private async Task HandleAsync(HttpContext context)
    {
        using var buffer = new MemoryStream();
        await context.Request.Body.CopyToAsync(buffer);
        var body = buffer.ToArray();
        var parts = context.Request.Path.Value!.Split('/', StringSplitOptions.RemoveEmptyEntries);
        var route = RouteOf(context);
        if (IsCut(route))
        {
            CutOff(context);
            return;
        }
        if (!await ProvedAsync(context, route, body)) return;
        Requests.Enqueue(route);
        Traces.Enqueue((route, context.Request.Headers["traceparent"].ToString()));
        if (holds.TryGetValue(route, out var hold)) await hold.Task.WaitAsync(context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (refusals.TryGetValue(route, out var queue) && queue.TryDequeue(out var refusal))
        {
            if (refusal.RetryAfter is { } seconds) context.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
            if (refusal.Problem is null) await PageAsync(context, refusal.Status);
            else await AnswerAsync(context, refusal.Status, refusal.Problem, WireJson.Default.ProblemBody);
            return;
        }
        if (body.Length > LargestBody)
        {
            await PageAsync(context, 413);
            return;
        }
        if (SignedOut && route is not ("pair" or "token" or "recover") && (route is "work" or "claim" || !HoldsLease()))
        {
            await ProblemAsync(context, 401, ErrorCode.SignedOut);
            return;
        }
        var session = (string?)context.Request.Query["session"];
        if (session is not null && session != Session)
        {
            await ProblemAsync(context, 409, ErrorCode.SessionEnded);
            return;
        }
        await (route switch
        {
            "pair" => PairAsync(context, body),
            "token" => TokenAsync(context),
            "sessions" => SessionAsync(context, body),
            "heartbeat" => HeartbeatAsync(context, body),
            "work" => WorkAsync(context),
            "key-rotations" => RotationAsync(context, body),
            "work-keys" => WorkKeysAsync(context),
            "recover" => RecoverAsync(context, body),
            "permission" => AwaitPermissionAsync(context, parts[4]),
            "settle" => SettlePermissionAsync(context, parts[4], body),
            _ => StepAsync(context, parts[2], route, body),
        });
    }

    /// <summary>The last word of the path; of what has an id there: permission.</summary>
    private static string RouteOf(HttpContext context)
    {
        var parts = context.Request.Path.Value!.Split('/', StringSplitOptions.RemoveEmptyEntries);
        return parts is [_, "steps", _, "permissions", _] ? "permission" : parts[^1];
    }

    private bool HoldsLease()
    {
        lock (gate) return steps.Values.Any(s => s.Held);
    }

    private static Task PageAsync(HttpContext context, int status)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/html";
        return context.Response.WriteAsync("<html>a proxy's page</html>");
    }

    private async Task<bool> ProvedAsync(HttpContext context, string route, byte[] body)
    {
        var proof = DPoPProof.Parse(context.Request.Headers[DPoPProof.Header].ToString());
        var url = Url + context.Request.Path + context.Request.QueryString;
        context.Response.Headers[DPoPProof.NonceHeader] = Nonce;
        if (proof is null || proof.Claims.Htu != url || proof.Claims.Htm != context.Request.Method || proof.Claims.Bsh != DPoPProof.Digest(body))
        {
            await ProblemAsync(context, 401, ErrorCode.InvalidDpopProof);
            return false;
        }
        if (proof.Claims.Nonce != Nonce)
        {
            await ProblemAsync(context, 401, ErrorCode.UseDpopNonce);
            return false;
        }
        var key = proof.Header.Jwk!.Thumbprint();
        if (route is "pair" or "recover") PairedKeys.Enqueue(key);
        else if (BoundKey is { } bound && bound != key)
        {
            RefusedKeys++;
            await ProblemAsync(context, 401, RotatedKeys.ContainsKey(key) ? ErrorCode.KeyRotated : ErrorCode.KeyRevoked);
            return false;
        }
        if (route is "pair" or "token" or "recover") return true;
        if (context.Request.Headers.Authorization != "DPoP " + Token)
        {
            await ProblemAsync(context, 401, ErrorCode.InvalidToken);
            return false;
        }
        return true;
    }

    private Task TokenAsync(HttpContext context)
    {
        TokensIssued++;
        Token ??= $"token-{TokensIssued}";
        return AnswerAsync(context, 200, new DeviceTokenResponse { AccessToken = Token, ExpiresInSeconds = 3600, Approval = Approval }, WireJson.Default.DeviceTokenResponse);
    }

    private Task SessionAsync(HttpContext context, byte[] body)
    {
        var request = JsonSerializer.Deserialize(body, WireJson.Default.OpenSessionRequest)!;
        Sessions.Enqueue(request);
        Session = request.SessionId;
        List<LeaseAnswer> answers;
        lock (gate)
        {
            answers = steps.Values.Where(s => s.Held).Select(s => Held(s, tellsClaim: true)).ToList();
            foreach (var report in request.Steps!)
                if (answers.All(a => a.StepId != report.StepId))
                    answers.Add(new LeaseAnswer { StepId = report.StepId, LeaseGeneration = report.LeaseGeneration ?? 0, Standing = LeaseStanding.Lost, ClaimId = report.ClaimId });
        }
        return AnswerAsync(context, 200, new OpenSessionResponse { SessionId = Session!, ServerTime = DateTimeOffset.UnixEpoch, Leases = answers }, WireJson.Default.OpenSessionResponse);
    }

    private async Task HeartbeatAsync(HttpContext context, byte[] body)
    {
        var request = JsonSerializer.Deserialize(body, WireJson.Default.HeartbeatRequest)!;
        Heartbeats.Enqueue(request);
        if (request.WaitSeconds > 0)
        {
            Moment("heartbeat hangs");
            await HangAsync("heartbeat", TimeSpan.FromSeconds(request.WaitSeconds), () => !LetsHang || steps.Values.Any(s => s.Queued) || SignedOut || Session != context.Request.Query["session"], context.RequestAborted);
            if (context.RequestAborted.IsCancellationRequested) return;
        }
        List<LeaseAnswer> answers;
        List<PendingStep> pending;
        lock (gate)
        {
            pending = PendingInHeartbeats || request.WaitSeconds > 0 ? steps.Values.Where(s => s.Queued).Select(Pending).ToList() : [];
            answers = steps.Values.Where(s => s.Held).Select(s => Held(s, TellsNamedClaims || request.Leases!.All(l => l.StepId != s.Id))).ToList();
            foreach (var lease in request.Leases!)
                if (answers.All(a => a.StepId != lease.StepId || a.LeaseGeneration != lease.LeaseGeneration))
                    answers.Add(new LeaseAnswer { StepId = lease.StepId, LeaseGeneration = lease.LeaseGeneration, Standing = LeaseStanding.Lost });
        }
        await AnswerAsync(context, 200, new HeartbeatResponse { ServerTime = DateTimeOffset.UnixEpoch, NextHeartbeatSeconds = HeartbeatSeconds, PendingTasks = pending, Leases = answers },
            WireJson.Default.HeartbeatResponse);
    }

    private static LeaseAnswer Held(FakeStep s, bool tellsClaim) =>
        new() { StepId = s.Id, LeaseGeneration = s.Generation, ClaimId = tellsClaim ? s.ClaimId : null, Standing = LeaseStanding.Held, CancelRequested = s.CancelRequested };

    private static PendingStep Pending(FakeStep s) => new() { StepId = s.Id, TaskId = s.TaskId, ExpectedGeneration = s.Generation, Intent = "test", TraceParent = s.TraceParent };

    private async Task WorkAsync(HttpContext context, int capacity, string[] seen)
    {
        while (true)
        {
            Task next;
            List<PendingStep> work;
            List<LeaseNotice> cancels;
            lock (gate)
            {
                next = changed.Task;
                work = steps.Values.Where(s => s.Queued).Take(capacity).Select(Pending).ToList();
                cancels = steps.Values.Where(s => s.CancelRequested && s.Held && !seen.Contains(s.Id))
                    .Select(s => new LeaseNotice { StepId = s.Id, LeaseGeneration = s.Generation }).ToList();
            }
            if (SignedOut)
            {
                await ProblemAsync(context, 401, ErrorCode.SignedOut);
                return;
            }
            if (work.Count > 0 || cancels.Count > 0 || Session != context.Request.Query["session"])
            {
                WorkOffered += work.Count;
                await AnswerAsync(context, 200, new WorkResponse { Assignments = work, Cancels = cancels }, WireJson.Default.WorkResponse);
                return;
            }
            await next.WaitAsync(context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (context.RequestAborted.IsCancellationRequested) return;
        }
    }

    private Task ProblemAsync(HttpContext context, int status, ErrorCode code, string? currentState = null) =>
        AnswerAsync(context, status, new ProblemBody { Title = code.ToString(), Status = status, Code = ProblemBody.CodeName(code), CurrentState = currentState }, WireJson.Default.ProblemBody);

    private async Task AnswerAsync<T>(HttpContext context, int status, T body, JsonTypeInfo<T> type)
    {
        var route = RouteOf(context);
        if (status == 200 && lostAnswers.TryGetValue(route, out var left) && left > 0)
        {
            lostAnswers[route] = left - 1;
            context.Abort();
            return;
        }
        context.Response.StatusCode = status;
        await context.Response.WriteAsJsonAsync(body, type);
    }
}
