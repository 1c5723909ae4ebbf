using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.DeviceTrust.Rotations;

/// <summary>What a request for another key must be, and how long it may wait. Pure.</summary>
internal static class KeyRotationRules
{
    /// <summary>Fingerprints that may be typed wrong. 46 bits can't be guessed in five tries; who needs more has not looked at the machine.</summary>
    public const int MaxTries = 5;

    /// <summary>As long as an approval of a task: admins have weekends, and the old key works meanwhile.</summary>
    public static readonly TimeSpan RotationWaits = TimeSpan.FromDays(7);

    /// <summary>Somebody stands at the machine, and the code was made a moment ago.</summary>
    public static readonly TimeSpan RecoveryWaits = TimeSpan.FromHours(1);

    /// <summary>New requests of one workstation in <see cref="RequestWindow"/>: each leaves a row and an audit row.</summary>
    public const int RequestsPerWindow = 20;

    public static readonly TimeSpan RequestWindow = TimeSpan.FromHours(1);

    /// <summary>The statement of a workstation that has proved <paramref name="presentKey"/>; null with the errors that say why not.</summary>
    public static KeyStatement? Judge(RequestKeyRotation request, string instanceId, string presentKey, IEnumerable<string> serverKeys, FieldErrors errors)
    {
        var statement = KeyStatement.Read(request.Statement);
        var acceptance = KeyStatement.Read(request.Acceptance);
        errors.Require(statement is not null, "statement", "is not a statement of a key over another (JWS, ES256) with a signature that is right");
        errors.Require(acceptance is not null, "acceptance", "is not the same statement signed by the new key");
        if (statement is null || acceptance is null) return null;
        errors.Require(statement.SignerFingerprint == presentKey, "statement", "is signed by another key than this workstation's present one");
        errors.Require(statement.Claims.Iss == instanceId, "statement", "is about another workstation");
        errors.Require(statement.SubjectFingerprint != presentKey, "statement", "names the present key as the new one");
        errors.Require(statement.Claims.Srv is { } server && serverKeys.Contains(server), "statement", "names another server's key: srv must be the fingerprint of a key that this server gave out at the pairing");
        // Without it a workstation could have somebody else's public key bound to itself, who then could not be paired with it.
        errors.Require(acceptance.IsOwnWord && acceptance.SubjectFingerprint == statement.SubjectFingerprint && acceptance.Payload.AsSpan().SequenceEqual(statement.Payload),
            "acceptance", "is not the same statement signed by the new key");
        return errors.Any ? null : statement;
    }

    /// <summary>The statement of a machine that has proved <paramref name="provenKey"/> and nothing else.</summary>
    public static KeyStatement? JudgeRecovery(string? text, string provenKey, FieldErrors errors)
    {
        var statement = KeyStatement.Read(text);
        errors.Require(statement is not null, "statement", "is not a statement of a key about itself (JWS, ES256) with a signature that is right");
        if (statement is null) return null;
        errors.Require(statement.IsOwnWord && statement.SignerFingerprint == provenKey, "statement", "is not by and about the key that signed the proof");
        errors.Require(statement.Claims.Iss is null, "statement", "names a workstation: which one it is, the code says");
        return errors.Any ? null : statement;
    }
}
