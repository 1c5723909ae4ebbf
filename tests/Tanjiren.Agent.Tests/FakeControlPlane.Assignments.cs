using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests;

/// <summary>What the control plane signs of a claim, and by which key; and who changes it on the way.</summary>
internal sealed partial class FakeControlPlane
{
    private readonly List<string> announcements = [];
    private ECDsa? workKey;

    /// <summary>A proxy: what becomes of a claim's answer after it was signed.</summary>
    public Func<ClaimResponse, ClaimResponse> Rewrite { get; set; } = answer => answer;

    /// <summary>What the server says in an assignment, before it signs it.</summary>
    public Func<AssignmentClaims, AssignmentClaims> Say { get; set; } = claims => claims;

    public bool RefusesReceipts { get; set; }

    public ECDsa WorkKey => workKey ?? serverKey;

    /// <summary>The key that signs work names another, which signs from then on.</summary>
    public ECDsa RotateWorkKey()
    {
        var next = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        announcements.Add(WorkKeyAnnouncement.Sign(WorkKey, new WorkKeyClaims { Iss = ServerKey.Thumbprint(), Seq = announcements.Count + 2, Cnf = new KeyConfirmation { Jwk = Jwk.FromKey(next) }, Iat = 0 }));
        return workKey = next;
    }

    /// <summary>Signs by a key that nobody has announced.</summary>
    public void UseWorkKey(ECDsa key) => workKey = key;

    public ClaimResponse Signed(string claimId, ClaimResponse answer) => answer with
    {
        SecretsSalt = answer.Secrets is null ? null : "salt",
        Assignment = Assignment.Sign(WorkKey, Jwk.FromKey(WorkKey).Thumbprint(), Say(new AssignmentClaims
        {
            Iss = ServerKey.Thumbprint(), Aud = InstanceId, Tsk = answer.TaskId, Stp = answer.StepId, Gen = answer.LeaseGeneration, Clm = claimId, Sdg = AssignedWork.Of(answer).Digest(),
            Sec = AssignedWork.SecretsDigest(answer.Secrets, "salt"),
            Tmo = answer.TimeoutMs, Ttl = answer.LeaseTtlMs, Grc = answer.LeaseGraceMs, Iat = 1000, Exp = 1000 + answer.TimeoutMs / 1000 + 1,
        })),
    };

    private Task WorkKeysAsync(HttpContext context) =>
        AnswerAsync(context, 200, new WorkKeysBody { First = ServerKey, Announcements = announcements }, WireJson.Default.WorkKeysBody);
}
