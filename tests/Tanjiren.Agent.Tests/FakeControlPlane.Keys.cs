using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests;

/// <summary>The workstation's key: paired, rotated, recovered, and who approves it.</summary>
internal sealed partial class FakeControlPlane
{
    public ConcurrentQueue<string> PairedKeys { get; } = new();
    /// <summary>Who may approve keys, by the word of each statement.</summary>
    public Jwk ServerKey { get; }
    /// <summary>What comes with a token: the server's word for the change that brought its key.</summary>
    public string? Approval { get; set; }
    /// <summary>The key that counts; null: whichever comes.</summary>
    public string? BoundKey { get; set; }
    /// <summary>Keys that a rotation has replaced.</summary>
    public ConcurrentDictionary<string, bool> RotatedKeys { get; } = new();
    public ConcurrentQueue<KeyStatement> Statements { get; } = new();
    /// <summary>What is answered to whoever asks for another key.</summary>
    public KeyRotationState RotationState { get; set; } = KeyRotationState.Pending;
    /// <summary>Proofs by keys that do not count any more.</summary>
    public int RefusedKeys { get; private set; }

    /// <summary>As an admin does: the asked-for key counts, the one before it is told so.</summary>
    public void ApproveKey() => ApproveKey(Approve(Statements.Last().SignerFingerprint, Statements.Last().SubjectFingerprint));

    /// <summary>With this word for it, whatever it is worth.</summary>
    public void ApproveKey(string? approval)
    {
        var statement = Statements.Last();
        Approval = approval;
        RotatedKeys[statement.SignerFingerprint] = true;
        BoundKey = statement.SubjectFingerprint;
        Token = null;
    }

    public static string Approve(ECDsa by, string old, string next, string instanceId = InstanceId) => KeyRecord.Sign(by, KeyRecord.ApprovalType, new KeyRecordClaims
    {
        Sub = instanceId, Seq = 1, Prev = old, Jkt = next, Sth = "digest", By = "usr_1", Iat = 0,
    });

    /// <summary>The same by the key that the machine was paired with, for a test to change one of.</summary>
    public string Approve(string old, string next, string instanceId = InstanceId) => Approve(serverKey, old, next, instanceId);

    private Task PairAsync(HttpContext context, byte[] body)
    {
        var request = JsonSerializer.Deserialize(body, WireJson.Default.PairRequest)!;
        if (request.Code != "good-code") return ProblemAsync(context, 422, ErrorCode.InvalidPairingCode);
        return AnswerAsync(context, 200, new PairResponse
        {
            InstanceId = InstanceId, InstanceName = "test", OrganizationId = "org_1", OrganizationName = "org", KeyFingerprint = PairedKeys.Last(),
            AccessToken = "unused", ExpiresInSeconds = 3600, ServerKeys = [ServerKey],
        }, WireJson.Default.PairResponse);
    }

    private Task RotationAsync(HttpContext context, byte[] body)
    {
        var request = JsonSerializer.Deserialize(body, WireJson.Default.RequestKeyRotation)!;
        var statement = KeyStatement.Read(request.Statement)!;
        var proved = DPoPProof.Parse(context.Request.Headers[DPoPProof.Header].ToString())!.Header.Jwk!.Thumbprint();
        if (statement.SignerFingerprint != proved || statement.Claims.Iss != InstanceId || statement.Claims.Srv != ServerKey.Thumbprint()
            || KeyStatement.Read(request.Acceptance)?.IsOwnWord != true) return ProblemAsync(context, 422, ErrorCode.ValidationFailed);
        Statements.Enqueue(statement);
        return AnswerAsync(context, 200, Rotation(KeyRotationKind.Rotation, statement), WireJson.Default.KeyRotationBody);
    }

    private Task RecoverAsync(HttpContext context, byte[] body)
    {
        var request = JsonSerializer.Deserialize(body, WireJson.Default.RecoverRequest)!;
        if (request.Code != "good-code") return ProblemAsync(context, 422, ErrorCode.InvalidPairingCode);
        var statement = KeyStatement.Read(request.Statement)!;
        Statements.Enqueue(statement);
        return AnswerAsync(context, 200, new RecoverResponse
        {
            Rotation = Rotation(KeyRotationKind.Recovery, statement), InstanceId = InstanceId, InstanceName = "test", OrganizationId = "org_1", OrganizationName = "org",
            KeyFingerprint = statement.SubjectFingerprint, ServerKeys = [ServerKey],
        }, WireJson.Default.RecoverResponse);
    }

    private KeyRotationBody Rotation(KeyRotationKind kind, KeyStatement statement) => new()
    {
        Id = "rot_1", InstanceId = InstanceId, Kind = kind, State = RotationState, OldFingerprint = statement.SignerFingerprint, NewFingerprintStart = statement.SubjectFingerprint[..8],
        RequestedAt = DateTimeOffset.UnixEpoch, ExpiresAt = DateTimeOffset.UnixEpoch, TriesLeft = 5, Reason = RotationState == KeyRotationState.Rejected ? "not asked for" : null,
    };
}
