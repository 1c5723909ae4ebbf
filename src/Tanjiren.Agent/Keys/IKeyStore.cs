using System.Security.Cryptography;

namespace Tanjiren.Agent.Keys;

/// <summary>
/// Where the machine's private key lives: a file today, the operating system's keychain later. The key is made on this machine and never
/// leaves it; only proofs and the public half do (W-03).
/// </summary>
internal interface IKeyStore
{
    /// <summary>The key of this home, or null when there is none yet: only then, never because it can't be read.</summary>
    /// <exception cref="InvalidDataException">It is no key, or others may read it.</exception>
    /// <exception cref="IOException">It can't be read now.</exception>
    /// <exception cref="UnauthorizedAccessException">This user may not read it.</exception>
    ECDsa? Load();

    /// <summary>Makes an ES256 (P-256) key and stores it durably before it is returned, so that nothing is ever bound to a key that a crash could lose.</summary>
    ECDsa Create();
}
