using System.Diagnostics;

using Microsoft.Extensions.Logging.Abstractions;

using Tanjiren.Agent;
using Tanjiren.Agent.Connection;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>
/// Whether a request may hang on the way to the server, which work in milliseconds rests on; asked as the running agent asks, with its key and in its session, for no capacity: nothing is given and
/// nothing is changed.
/// </summary>
internal static class LongPollCheck
{
    private const string Name = "long-poll";
    private const int HangSeconds = 2;

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, RunAsync);

    private static async Task<Finding> RunAsync(DoctorScene scene, CancellationToken cancellation)
    {
        if (scene.Identity is not { } identity || scene.Status is not { SessionId: { } session }) return Finding.Ok(Name, "not tried: no agent with a session runs here");
        if (ServerAddress.Parse(identity.ServerUrl, insecureHttp: true).BaseUrl is not { } url) return Finding.Warning(Name, $"{identity.ServerUrl} is no address", "pair this machine again");
        using var key = scene.LoadKey();
        if (key is null) return Finding.Ok(Name, "not tried: the key is not in the agent's home");
        using var transport = new DeviceTransport(url, identity.InstanceId, key, new AgentTimeouts(), scene.Cli.Clock, NullLogger.Instance);
        // A token and a nonce come first; the request that counts is the second.
        await AskAsync(transport, identity, session, 0, cancellation);
        var began = Stopwatch.GetTimestamp();
        var reply = await AskAsync(transport, identity, session, HangSeconds, cancellation);
        var took = Stopwatch.GetElapsedTime(began);
        return reply.Kind switch
        {
            ReplyKind.Ok when took.TotalSeconds >= HangSeconds * 0.9 || reply.Value!.Cancels.Count > 0 => Finding.Ok(Name, $"a request that hangs for {HangSeconds} s gets through"),
            ReplyKind.Ok => Finding.Warning(Name, $"a request that should hang for {HangSeconds} s was answered after {took.TotalMilliseconds:0} ms", "ask again; a server that stops does that, and so may a proxy"),
            ReplyKind.ClockRefused => Finding.Problem(Name, transport.ClockNotice ?? "the server refuses this machine's clock", "set the clock"),
            ReplyKind.SignedOut => Finding.Warning(Name, $"the machine is signed out: {reply.Words}", "sign in with `tanvrit-compute auth login`, and run `tanvrit-compute agent run` once more"),
            ReplyKind.KeyRevoked or ReplyKind.KeyRotated => Finding.Problem(Name, $"the server refuses this machine's key: {reply.Words}", "ask an admin for a recovery code ('workstations recover') and run `tanvrit-compute agent recover`"),
            ReplyKind.SessionEnded or ReplyKind.IdentityInUse => Finding.Warning(Name, $"the agent's session is not the server's: {reply.Words}", "ask again in a moment: the agent opens another; if it stays so, see `tanvrit-compute agent status`"),
            _ => Finding.Problem(Name, $"a request that hangs for {HangSeconds} s gets no answer ({reply.Words})", "have whatever stands between let requests hang for a minute; until then work comes with the heartbeat, every 30 s"),
        };
    }

    private static Task<Reply<WorkResponse>> AskAsync(DeviceTransport transport, AgentIdentity identity, string session, int seconds, CancellationToken cancellation) =>
        transport.SendAsync(HttpMethod.Get, $"/api/instances/{identity.InstanceId}/work?session={session}&waitSeconds={seconds}&capacity=0", [], WireJson.Default.WorkResponse, TimeSpan.FromSeconds(seconds + 1.5), cancellation);
}
