namespace Tanjiren.Protocol;

/// <summary>What stands behind one key of a chain, seen from the anchor.</summary>
public enum KeyStanding
{
    /// <summary>Older than the anchor: whole in itself, but nothing that the anchor says.</summary>
    BeforeAnchor,
    Anchor,
    /// <summary>The key before it has signed for it, and the server that this key named has recorded an approval.</summary>
    Vouched,
    /// <summary>A recovery: no key speaks for it, only the server's word that an admin approved. Also what follows one that is not accepted.</summary>
    Gap,
}

/// <summary>One key of a chain; number 0 is the one that the workstation was paired with.</summary>
public sealed record KeyLink(int Number, string Fingerprint, KeyStanding Standing, string? ApprovedBy, DateTimeOffset At);

public enum KeyChainVerdict
{
    Verified,
    /// <summary>Whole and in order, but beyond a gap nothing leads back to the anchor; also when a gap is to be accepted, and nothing that is trusted says whose word for it counts.</summary>
    GapNotAccepted,
    /// <summary>Not what the keys and the server signed.</summary>
    Broken,
}

/// <param name="Verdict">How it ended.</param>
/// <param name="Links">The keys up to where it ended.</param>
/// <param name="Problem">What is wrong, and where; null when it is verified.</param>
public sealed record KeyChainResult(KeyChainVerdict Verdict, IReadOnlyList<KeyLink> Links, string? Problem);

/// <summary>
/// Verifies an exported chain offline: from one fingerprint that the operator knows, over what each key signed for the next, to the key that counts now. Nothing in the
/// document is trusted but for a signature that leads back to the anchor; the key of the server, whose approvals count, is named by the statements too. Only those of a key that
/// is trusted name it: what stands before the anchor, or a recovery by itself, anybody can have made.
/// </summary>
public static class KeyChain
{
    /// <param name="chain">As exported.</param>
    /// <param name="anchor">Fingerprint of a key that the operator compared at the machine once.</param>
    /// <param name="acceptGaps">Whether a recovery counts as vouched for: by the server's word alone.</param>
    /// <param name="serverKey">Fingerprint of the server's key, if the operator knows it; needed for a gap before which no key that is trusted has named it.</param>
    public static KeyChainResult Verify(KeyChainBody chain, string anchor, bool acceptGaps, string? serverKey = null)
    {
        var walk = new Walk(chain, anchor, acceptGaps, serverKey);
        return walk.Run();
    }

    private sealed class Walk(KeyChainBody chain, string anchor, bool acceptGaps, string? serverKey)
    {
        private readonly List<KeyLink> _links = [];
        private readonly HashSet<string> _seen = [];
        private string _current = "";
        private readonly string? _namedServer = serverKey;
        /// <summary>All that the server signs here must be by one and the same.</summary>
        private string? _server = serverKey;
        /// <summary>Whether that is more than the document's own word: the operator's, or a trusted key's.</summary>
        private bool _serverVouched = serverKey is not null;
        private bool _trusted;
        private int? _gap;

        public KeyChainResult Run()
        {
            if (chain.Changes is null || chain.Changes.Contains(null)) return Broken("it is no chain of keys");
            if (chain.First is not { Key: { } first } || !first.IsPublicP256() || first.Thumbprint() != chain.First.Fingerprint) return Broken("the first key is not the one of its fingerprint");
            Add(0, first.Thumbprint(), KeyStanding.BeforeAnchor, null, chain.First.BoundAt);
            for (var i = 0; i < chain.Changes.Count; i++)
                if (Follow(i + 1, chain.Changes[i]) is { } problem) return Broken($"change {i + 1}: {problem}");
            if (CheckHead() is { } wrongHead) return Broken("the end: " + wrongHead);
            if (_links.All(link => link.Standing != KeyStanding.Anchor)) return Broken($"no key of it has the fingerprint {anchor}");
            return _gap is not { } gap ? new KeyChainResult(KeyChainVerdict.Verified, _links, null)
                : new KeyChainResult(KeyChainVerdict.GapNotAccepted, _links, $"change {gap} is a recovery of a lost key: no earlier key vouches for what follows"
                    + (acceptGaps ? ", nor for the server whose word it is" : ""));
        }

        /// <summary>One change; null, or what is wrong with it.</summary>
        private string? Follow(int number, KeyChangeBody change)
        {
            if (change.Number != number) return $"its number is {change.Number}: a row is missing, or they are out of order";
            if (KeyStatement.Read(change.Statement) is not { } statement) return "its statement is altered, or signed by another key than it names";
            if (KeyRecord.Read(change.Approval, KeyRecord.ApprovalType) is not { } approval) return "its approval is altered, or signed by another key than it names";
            var (said, next) = (approval.Claims, statement.SubjectFingerprint);
            var isGap = statement.IsOwnWord;

            if (!isGap && statement.SignerFingerprint != _current) return $"its statement is signed by {statement.SignerFingerprint}, and the key before it is {_current}";
            if (statement.Claims.Iss != chain.InstanceId && !(isGap && statement.Claims.Iss is null)) return "its statement is about another workstation";
            if (!_seen.Add(next)) return "its key was there before";
            if (said.Sub != chain.InstanceId) return "its approval is about another workstation";
            if (said.Seq != number) return $"its approval is that of change {said.Seq}";
            if (said.Prev != _current) return $"its approval replaces {said.Prev}, and the key before it is {_current}";
            if (said.Jkt != next || said.Sth != KeyRecord.DigestOf(change.Statement)) return "its approval is of another statement";
            var server = approval.Signer.Thumbprint();
            if (!isGap && server != statement.Claims.Srv) return "its approval is not by the server that the old key named";
            if (_server is not null && server != _server) return $"its approval is by another server than {_namedServer ?? "the one before"}";
            if (change.Fingerprint != next || change.ApprovedBy != said.By || change.ApprovedAt.ToUnixTimeSeconds() != said.Iat || change.Kind != (isGap ? KeyRotationKind.Recovery : KeyRotationKind.Rotation))
                return "what it shows is not what was signed";

            _server = server;
            _serverVouched |= _trusted && !isGap;
            if (isGap && _trusted && !(acceptGaps && _serverVouched)) (_gap, _trusted) = (_gap ?? number, false);
            Add(number, next, isGap ? KeyStanding.Gap : _trusted ? KeyStanding.Vouched : _gap is null ? KeyStanding.BeforeAnchor : KeyStanding.Gap, said.By, change.ApprovedAt);
            return null;
        }

        private string? CheckHead()
        {
            if (KeyRecord.Read(chain.Head, KeyRecord.HeadType) is not { Claims: var head, Signer: var signer }) return "the server's word for it is altered or missing";
            if (_server is not null && signer.Thumbprint() != _server) return $"the word for it is by another server than {_namedServer ?? "the last approval"}";
            if (head.Sub != chain.InstanceId || head.Prev != chain.First.Fingerprint) return "the word for it is about another chain";
            if (head.Seq != chain.Changes.Count || head.Jkt != _current || head.Sth != (chain.Changes.Count == 0 ? null : KeyRecord.DigestOf(chain.Changes[^1].Approval)))
                return $"the server knew {head.Seq} changes, and here are {chain.Changes.Count}: it was cut short or added to";
            return chain.Current == _current ? null : $"it shows {chain.Current} as the current key, and the last one is {_current}";
        }

        private void Add(int number, string fingerprint, KeyStanding standing, string? by, DateTimeOffset at)
        {
            // A later anchor closes an earlier gap: the operator has compared that key themselves.
            if (fingerprint == anchor) (standing, _trusted, _gap) = (KeyStanding.Anchor, true, null);
            _seen.Add(fingerprint);
            _links.Add(new KeyLink(number, fingerprint, standing, by, at));
            _current = fingerprint;
        }

        private KeyChainResult Broken(string problem) => new(KeyChainVerdict.Broken, _links, problem);
    }
}
