using Tanjiren.Protocol;

namespace Tanjiren.Agent.Keys;

/// <summary>
/// The key that is to follow the present one: <c>key.pem.rotation</c>. The file is the whole state of a rotation on this side. It is there, synced, before anybody is asked,
/// and goes only when it has become <c>key.pem</c> or when the server has said for good that it never will; so whatever is approved is here, and a crash loses nothing.
/// </summary>
internal sealed class SuccessorKey(AgentHome home)
{
    /// <summary>The key that waits, or null.</summary>
    /// <exception cref="InvalidDataException">It can't be read, or others may read it.</exception>
    /// <exception cref="KeychainException">The keychain does not give it out now.</exception>
    public DeviceKey? Load() => home.KeyStore(home.RotationKey).Load() is { } key ? new DeviceKey(key) : null;

    /// <summary>Makes the key, or takes the one that waits already: what an admin may be about to approve is never replaced.</summary>
    public DeviceKey Prepare()
    {
        if (Load() is { } waiting) return waiting;
        return new DeviceKey(home.CreateKey(home.RotationKey));
    }

    /// <summary>
    /// Whether <paramref name="approval"/> is the word of the server that this machine was paired with for exactly this change. That a key is refused and another one taken is told by
    /// whoever answers; the old key goes for good, so it takes a signature.
    /// </summary>
    public bool IsApproved(string? approval, string old, string next) =>
        KeyRecord.Read(approval, KeyRecord.ApprovalType) is { Claims: var said, Signer: var signer } && AgentIdentity.Load(home.Directory) is { } identity
        && said.Sub == identity.InstanceId && said.Prev == old && said.Jkt == next && identity.ServerKeys.Any(key => key.Thumbprint() == signer.Thumbprint());

    /// <summary>Puts it in the place of the old key, which is gone then. A crash in between is finished by the next start, as with a pairing.</summary>
    public void Install(string fingerprint)
    {
        home.ChangeIdentity(identity => identity with { KeyFingerprint = fingerprint });
        home.FinishPairing();
    }

    /// <summary>It will never be approved.</summary>
    public void Forget() => home.DeleteKey(home.RotationKey);
}
