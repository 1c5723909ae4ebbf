using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Assignments;

/// <summary>A proxy changes one thing of a claim's answer, or the server signs one thing too much: nothing is started, and the step says what did not match.</summary>
public sealed class RewrittenClaimTests : IAsyncLifetime
{
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    /// <summary>What the proxy does with the signed answer, and words of the refusal.</summary>
    private static readonly Dictionary<string, (Func<FakeControlPlane, ClaimResponse, ClaimResponse> Rewrite, string Says)> Rewrites = new()
    {
        ["command"] = ((_, a) => a with { Command = new CommandSpec { Shell = a.Command!.Shell + "; true" } }, "command"),
        ["command by argv"] = ((_, a) => a with { Command = new CommandSpec { Argv = ["/bin/sh", "-c", a.Command!.Shell!] } }, "command"),
        ["environment"] = ((_, a) => a with { Environment = new Dictionary<string, string> { ["LD_PRELOAD"] = "/tmp/x.so" } }, "environment"),
        ["environment from the machine"] = ((_, a) => a with { EnvironmentFromMachine = ["SSH_AUTH_SOCK"] }, "environment"),
        ["a secret that was not given"] = ((_, a) => a with { Secrets = new Dictionary<string, string> { ["LD_PRELOAD"] = "/tmp/x.so" }, SecretsSalt = "salt" }, "what is to run"),
        ["working directory"] = ((_, a) => a with { WorkingDirectory = "/tmp" }, "working directory"),
        ["resources"] = ((_, a) => a with { Resources = new ResourceSpec { GpuCount = 1 } }, "what is to run"),
        ["generation"] = ((_, a) => a with { LeaseGeneration = a.LeaseGeneration + 1 }, "generation"),
        ["a longer lease"] = ((_, a) => a with { LeaseTtlMs = a.LeaseTtlMs * 10 }, "lease lasts"),
        ["a longer grace"] = ((_, a) => a with { LeaseGraceMs = a.LeaseGraceMs * 10 }, "lease lasts"),
        ["more time"] = ((_, a) => a with { TimeoutMs = a.TimeoutMs * 10 }, "lets the step run"),
        ["the task"] = ((_, a) => a with { TaskId = Ids.New(Ids.Task, TimeProvider.System) }, "task"),
        ["the step"] = ((_, a) => a with { StepId = Ids.New(Ids.Step, TimeProvider.System) }, "step"),
        ["stripped"] = ((_, a) => a with { Assignment = null }, "no signed assignment"),
        ["no JWS"] = ((_, a) => a with { Assignment = "x" }, "no signed assignment"),
        ["longer than any"] = ((_, a) => a with { Assignment = a.Assignment + new string('A', Assignment.MaxLength) }, "no signed assignment"),
        ["signature of a byte less"] = ((_, a) => a with { Assignment = a.Assignment![..^2] }, "signature"),
        ["alg none"] = ((_, a) => a with { Assignment = WithHeader(a, """{"typ":"tanjiren-assignment+jwt","alg":"none","kid":"x"}""", _ => []) }, "'none'"),
        ["a type that no text may have"] = ((_, a) => a with { Assignment = WithHeader(a, """{"typ":"\u0000\ud83d\ude00","alg":"ES256","kid":"x"}""", Stranger) }, "it is a '???'"),
        ["alg none under our kid"] = ((s, a) => a with { Assignment = WithHeader(a, $$"""{"typ":"tanjiren-assignment+jwt","alg":"none","kid":"{{s.ServerKey.Thumbprint()}}"}""", _ => []) }, "'none'"),
        ["HMAC by the public key"] = ((s, a) => a with
        {
            Assignment = WithHeader(a, $$"""{"typ":"tanjiren-assignment+jwt","alg":"HS256","kid":"{{s.ServerKey.Thumbprint()}}"}""",
                input => HMACSHA256.HashData(Encoding.ASCII.GetBytes(s.ServerKey.X + s.ServerKey.Y), input)),
        }, "'HS256'"),
        ["another type"] = ((s, a) => a with { Assignment = WithHeader(a, $$"""{"typ":"tanjiren-receipt+jwt","alg":"ES256","kid":"{{s.ServerKey.Thumbprint()}}"}""", Stranger) }, "tanjiren-receipt"),
        ["unknown key"] = ((_, a) => a with { Assignment = WithHeader(a, """{"typ":"tanjiren-assignment+jwt","alg":"ES256","kid":"nobody"}""", Stranger) }, "'nobody'"),
        ["a stranger under our kid"] = ((s, a) => a with { Assignment = WithHeader(a, $$"""{"typ":"tanjiren-assignment+jwt","alg":"ES256","kid":"{{s.ServerKey.Thumbprint()}}"}""", Stranger) }, "signature is wrong"),
        ["its own key in the header"] = ((s, a) => a with { Assignment = WithOwnKey(a, s.ServerKey.Thumbprint()) }, "signature is wrong"),
        ["no kid"] = ((_, a) => a with { Assignment = WithHeader(a, """{"typ":"tanjiren-assignment+jwt","alg":"ES256"}""", Stranger) }, "names no key"),
    };

    /// <summary>What a good signature says, and is not for this claim.</summary>
    private static readonly Dictionary<string, (Func<AssignmentClaims, AssignmentClaims> Say, string Says)> Statements = new()
    {
        ["another workstation's"] = (c => c with { Aud = "ws_00000000000000000000000009" }, "workstation ws_00000000000000000000000009"),
        ["another step's"] = (c => c with { Stp = "step_00000000000000000000000009" }, "step_00000000000000000000000009"),
        ["another task's"] = (c => c with { Tsk = "task_00000000000000000000000009" }, "task_00000000000000000000000009"),
        ["an earlier claim's"] = (c => c with { Clm = "clm_00000000000000000000000009" }, "clm_00000000000000000000000009"),
        ["an earlier generation's"] = (c => c with { Gen = c.Gen - 1 }, "generation"),
        ["another control plane's"] = (c => c with { Iss = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }, "control plane"),
        ["expired"] = (c => c with { Exp = c.Iat }, "expired"),
        ["of other work"] = (c => c with { Sdg = new string('0', 64) }, "what is to run"),
        ["without claims"] = (_ => new AssignmentClaims(), "control plane"),
    };

    public static TheoryData<string> RewrittenRows() => [.. Rewrites.Keys];

    public static TheoryData<string> StatementRows() => [.. Statements.Keys];

    [Theory, MemberData(nameof(RewrittenRows))]
    public async Task What_a_proxy_changes_is_refused(string what)
    {
        var (rewrite, says) = Rewrites[what];
        server.Rewrite = answer => rewrite(server, answer);

        await IsRejectedAsync(says);
    }

    [Theory, MemberData(nameof(StatementRows))]
    public async Task What_was_signed_for_something_else_is_refused(string what)
    {
        server.Say = Statements[what].Say;

        await IsRejectedAsync(Statements[what].Says);
    }

    [Fact]
    public async Task A_secret_with_another_value_is_refused()
    {
        await agent.StartAsync();
        server.Rewrite = answer => answer with { Secrets = new Dictionary<string, string> { ["DATABASE"] = "elsewhere" } };
        server.Add(new FakeStep
        {
            Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Shell = $"touch {agent.File("ran")}" }, Secrets = new Dictionary<string, string> { ["DATABASE"] = "where it was meant" },
        });

        await Eventually.TrueAsync(() => server.Completes.Any(c => c.Reason == StepReason.RejectedByAgent));

        server.Completes.First().Detail!.ShouldContain("secrets are not those");
        File.Exists(agent.File("ran")).ShouldBeFalse();
    }

    [Fact]
    public async Task An_answer_that_comes_when_the_steps_time_is_over_starts_nothing()
    {
        await agent.StartAsync();
        // The machine sleeps past it while the answer is on its way.
        server.Rewrite = answer =>
        {
            Interlocked.Add(ref agent.SleptMs, 61_000);
            return answer;
        };
        var step = Marking();

        await Eventually.TrueAsync(() => step.Result is not null);

        step.Result!.Reason.ShouldBe(StepReason.Timeout);
        File.Exists(agent.File("ran")).ShouldBeFalse();
    }

    [Fact]
    public async Task What_nobody_changes_runs()
    {
        await agent.StartAsync();
        var step = Marking();

        await Eventually.TrueAsync(() => step.Result is not null);

        step.Result!.Outcome.ShouldBe(StepOutcome.Succeeded);
        File.Exists(agent.File("ran")).ShouldBeTrue();
    }

    private FakeStep Marking() => server.Shell($"touch {agent.File("ran")}");

    private async Task IsRejectedAsync(string says)
    {
        await agent.StartAsync();
        var step = Marking();

        await Eventually.TrueAsync(() => server.Completes.Any(c => c.Reason == StepReason.RejectedByAgent));

        var result = server.Completes.First();
        (result.Outcome, result.Reason, result.FinalLogSeq).ShouldBe((StepOutcome.Failed, StepReason.RejectedByAgent, 0L));
        result.Detail!.ShouldContain(says, Case.Sensitive, step.Id);
        File.Exists(agent.File("ran")).ShouldBeFalse();
        // What it did not accept, it does not sign for.
        Receipt.Read(result.Receipt)!.Claims.Asg.ShouldBeNull();
    }

    private static string WithHeader(ClaimResponse answer, string header, Func<byte[], byte[]> sign)
    {
        var input = Base64Url.EncodeToString(Encoding.UTF8.GetBytes(header)) + "." + answer.Assignment!.Split('.')[1];
        return input + "." + Base64Url.EncodeToString(sign(Encoding.ASCII.GetBytes(input)));
    }

    private static byte[] Stranger(byte[] input)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return key.SignData(input, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
    }

    private static string WithOwnKey(ClaimResponse answer, string keyId)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var header = new ProofHeader { Typ = Assignment.Type, Alg = CompactJws.Algorithm, Kid = keyId, Jwk = Jwk.FromKey(key) };
        return CompactJws.Sign(key, header, Base64Url.DecodeFromChars(answer.Assignment!.Split('.')[1]));
    }
}
