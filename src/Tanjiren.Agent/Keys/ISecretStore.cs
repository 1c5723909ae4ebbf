namespace Tanjiren.Agent.Keys;

/// <summary>
/// Secrets of this user by name, in the operating system's keychain; a seam, for tests keep theirs in memory. A call may hang for as long as a person is asked for a password, and fail in every
/// way in which a native library can: <see cref="Keychain"/> bounds and judges it.
/// </summary>
internal interface ISecretStore
{
    /// <summary>What it is, in a sentence: <c>the keyring (libsecret)</c>.</summary>
    string Title { get; }

    /// <summary>Whether there is such an entry, locked or not, without asking a person for anything; null when that can't be told so. Cheap enough for every few seconds.</summary>
    bool? Has(string name);

    /// <summary>Null: there is no such entry, or it is locked. Not every keychain tells the two apart.</summary>
    byte[]? Read(string name);

    /// <summary>Makes or replaces an entry. That it returns proves nothing; only reading it back does.</summary>
    void Write(string name, byte[] secret);

    /// <summary>Nothing happens when there is no such entry.</summary>
    void Delete(string name);
}
