namespace Tanjiren.Server.Backups;

/// <summary>What a backup says of itself: <c>manifest.json</c> in its archive.</summary>
public sealed record BackupManifest
{
    public const int CurrentFormat = 1;

    /// <summary>Of the archive; a newer one than <see cref="CurrentFormat"/> is refused.</summary>
    public required int Format { get; init; }
    /// <summary>Of the program that took it.</summary>
    public required string Version { get; init; }
    /// <summary><c>sqlite</c> or <c>postgres</c>: it is restored into the same kind.</summary>
    public required string Database { get; init; }
    /// <summary>The newest migration that the database had.</summary>
    public required string MigrationLevel { get; init; }
    public required DateTimeOffset TakenAt { get; init; }
    /// <summary>Of the database's entry, lower-case hex.</summary>
    public required string Sha256 { get; init; }
    /// <summary>Size of that entry, unpacked.</summary>
    public required long Bytes { get; init; }
}

/// <summary>A backup or a restore that can't be; the words are for the operator.</summary>
public sealed class BackupException(string message, string hint, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What to do next.</summary>
    public string Hint { get; } = hint;
}
