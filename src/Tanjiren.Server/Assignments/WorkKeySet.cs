using System.Collections.Concurrent;
using System.Security.Cryptography;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Assignments;

/// <summary>The keys that sign work, as they were read at one moment. The last one signs; of the others what they have signed is still known.</summary>
internal sealed class WorkKeySet
{
    private readonly List<WorkKey> _keys;

    /// <param name="privateKeys">PKCS#8, oldest first.</param>
    /// <param name="announcements">Of all but the first.</param>
    /// <param name="newestMadeAt">Unix milliseconds.</param>
    public WorkKeySet(IEnumerable<byte[]> privateKeys, IReadOnlyList<string> announcements, long newestMadeAt)
    {
        _keys = [.. privateKeys.Select(bytes => new WorkKey(bytes))];
        (Announcements, NewestMadeAt) = (announcements, newestMadeAt);
    }

    /// <summary>Of the first key: who the control plane is, whatever key signs.</summary>
    public string Issuer => _keys[0].Thumbprint;

    public IReadOnlyList<string> Announcements { get; }

    public long NewestMadeAt { get; }

    /// <summary>The number of the newest; the first is 1.</summary>
    public int Count => _keys.Count;

    public WorkKeysBody ToBody() => new() { First = _keys[0].Public, Announcements = Announcements };

    public string Sign(AssignmentClaims claims) => _keys[^1].Use(key => Assignment.Sign(key, _keys[^1].Thumbprint, claims));

    public string Announce(WorkKeyClaims claims) => _keys[^1].Use(key => WorkKeyAnnouncement.Sign(key, claims));

    public bool Knows(string keyId) => _keys.Exists(key => key.Thumbprint == keyId);

    /// <summary>Whether one of these keys has signed it.</summary>
    public bool HasSigned(Assignment assignment) => _keys.Find(key => key.Thumbprint == assignment.KeyId)?.Use(key => assignment.IsSignedBy(key)) == true;

    /// <summary>Imported once for as many threads as sign at a time: an import costs more than a signature, and <see cref="ECDsa"/> promises nothing about threads.</summary>
    private sealed class WorkKey
    {
        private readonly byte[] _bytes;
        private readonly ConcurrentBag<ECDsa> _idle = [];

        public WorkKey(byte[] bytes)
        {
            _bytes = bytes;
            Public = Use(Jwk.FromKey);
            Thumbprint = Public.Thumbprint();
            Public = Public with { Kid = Thumbprint };
        }

        public Jwk Public { get; }
        public string Thumbprint { get; }

        public T Use<T>(Func<ECDsa, T> act)
        {
            if (!_idle.TryTake(out var key))
            {
                key = ECDsa.Create();
                key.ImportPkcs8PrivateKey(_bytes, out _);
            }
            var result = act(key);
            _idle.Add(key);
            return result;
        }
    }
}
