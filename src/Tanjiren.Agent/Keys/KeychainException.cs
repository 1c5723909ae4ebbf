namespace Tanjiren.Agent.Keys;

/// <summary>
/// The keychain does not answer, is locked, or did not keep what it was given. It may pass, like a disk that can't be read now: nothing that lies in a keychain counts as lost because of it.
/// </summary>
public sealed class KeychainException(string what, string next, Exception? inner = null) : IOException($"{what}. {next}", inner)
{
    /// <summary>What is wrong, without a full stop.</summary>
    public string What { get; } = what;

    /// <summary>What a person does next: whole sentences.</summary>
    public string Next { get; } = next;
}
