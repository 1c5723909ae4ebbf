using System.Net;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.DeviceTrust.Rotations;

/// <summary>Requests for another key that must change nothing, one wrong thing in each.</summary>
public sealed class HostileStatementTests
{
    private sealed record Scene(ServerFixture Server, DeviceClient Device, DeviceClient Next, DeviceClient Other);

    private static readonly Dictionary<string, (HttpStatusCode Status, ErrorCode Code, string Field, Func<Scene, RequestKeyRotation> Make)> Rows = new()
    {
        ["nothing"] = Invalid("statement", _ => new RequestKeyRotation()),
        ["no JWS"] = Invalid("statement", s => Good(s) with { Statement = "a.b" }),
        ["a statement that is too long"] = Invalid("statement", s => Good(s) with { Statement = Good(s).Statement + new string('A', 5000) }),
        ["signed by another key than it names"] = Invalid("statement", s => Good(s) with { Statement = Resigned(s, s.Other) }),
        ["signed by a stranger's key"] = Invalid("statement", s => Over(s, s.Other, s.Device.PayloadFor(s.Next))),
        ["signed by the new key alone"] = Invalid("statement", s => Over(s, s.Next, s.Device.PayloadFor(s.Next))),
        ["over another workstation's id"] = Invalid("statement", s => Over(s, s.Device, KeyStatement.PayloadFor(s.Other.InstanceId, s.Next.PublicKey, ServerKey(s), Now))),
        ["over no workstation"] = Invalid("statement", s => Over(s, s.Device, KeyStatement.PayloadFor(null, s.Next.PublicKey, ServerKey(s), Now))),
        ["another workstation's statement, replayed"] = Invalid("statement", s => s.Other.RequestFor(s.Next)),
        ["over itself"] = Invalid("statement", s => s.Device.RequestFor(s.Device)),
        ["naming another server"] = Invalid("statement", s => Over(s, s.Device, KeyStatement.PayloadFor(s.Device.InstanceId, s.Next.PublicKey, s.Other.Fingerprint(), Now))),
        ["naming no server"] = Invalid("statement", s => Over(s, s.Device, KeyStatement.PayloadFor(s.Device.InstanceId, s.Next.PublicKey, null, Now))),
        ["over a private key"] = Invalid("statement", s => Over(s, s.Device, KeyStatement.PayloadFor(s.Device.InstanceId, s.Next.PublicKey with { D = s.Next.PublicKey.X }, ServerKey(s), Now))),
        ["over a point that is not on the curve"] = Invalid("acceptance", s => Over(s, s.Device, KeyStatement.PayloadFor(s.Device.InstanceId, s.Next.PublicKey with { Y = s.Next.PublicKey.X }, ServerKey(s), Now))),
        ["a proof in place of a statement"] = Invalid("statement", s => Good(s) with { Statement = DPoPProof.Create(s.Device.Key, s.Device.PublicKey, "POST", s.Device.Url("key-rotations"), [], Now, null, null) }),
        ["without the new key's word"] = Invalid("acceptance", s => Good(s) with { Acceptance = null }),
        ["with another key's word"] = Invalid("acceptance", s => Good(s) with { Acceptance = KeyStatement.Sign(s.Other.Key, s.Device.PayloadFor(s.Next)) }),
        ["with the new key's word for something else"] = Invalid("acceptance", s => Good(s) with { Acceptance = KeyStatement.Sign(s.Next.Key, s.Device.PayloadFor(s.Next)) }),
        ["for a key that another workstation has"] = (HttpStatusCode.Conflict, ErrorCode.AlreadyPaired, "", s => s.Device.RequestFor(s.Other)),
    };

    private static DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Each_is_refused_by_name_and_nothing_waits_afterwards(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var device = await server.NewDeviceAsync();
        using var other = await server.NewDeviceAsync();
        using var next = device.WithNewKey();
        var scene = new Scene(server, device, next, other);
        foreach (var (name, (status, code, field, make)) in Rows)
        {
            var answer = await device.TryRequestKeyAsync(make(scene));
            var said = $"{name}: {await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)}";
            answer.StatusCode.ShouldBe(status, said);
            var problem = await answer.ProblemAsync(status, code);
            if (field.Length > 0) problem.Errors!.Keys.ShouldContain(field, said);
            (await server.Client.KeysAsync(device.InstanceId)).Pending.ShouldBeNull(name);
        }
        // And what they were changed from is taken.
        (await (await device.TryRequestKeyAsync(Good(scene))).BodyAsync<KeyRotationBody>()).State.ShouldBe(KeyRotationState.Pending);
        (await other.TryBeatAsync()).StatusCode.ShouldBe(HttpStatusCode.Conflict, "its key still works: only its session is missing");
    }

    private static (HttpStatusCode, ErrorCode, string, Func<Scene, RequestKeyRotation>) Invalid(string field, Func<Scene, RequestKeyRotation> make) =>
        (HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed, field, make);

    private static RequestKeyRotation Good(Scene s) => s.Device.RequestFor(s.Next);

    private static string ServerKey(Scene s) => s.Device.ServerKey!.Thumbprint();

    private static RequestKeyRotation Over(Scene s, DeviceClient signer, byte[] payload) =>
        new() { Statement = KeyStatement.Sign(signer.Key, payload), Acceptance = KeyStatement.Sign(s.Next.Key, payload) };

    /// <summary>The device's own header over somebody else's signature.</summary>
    private static string Resigned(Scene s, DeviceClient signer)
    {
        var mine = Good(s).Statement!;
        var input = mine[..mine.LastIndexOf('.')];
        var signature = signer.Key.SignData(Encoding.ASCII.GetBytes(input), System.Security.Cryptography.HashAlgorithmName.SHA256, System.Security.Cryptography.DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        return input + "." + System.Buffers.Text.Base64Url.EncodeToString(signature);
    }
}
