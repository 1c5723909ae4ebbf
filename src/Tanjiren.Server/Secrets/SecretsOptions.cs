namespace Tanjiren.Server.Secrets;

/// <summary>Settings of the secrets of tasks: <c>Tanjiren:Secrets</c>.</summary>
internal sealed class SecretsOptions
{
    /// <summary>
    /// File with the key that secrets are encrypted with: 32 bytes in base64. It must be there, the same for every server process of one database. Default: beside a SQLite file, as
    /// <c>FILE.secrets-key</c>, made with the first secret; on PostgreSQL none, and tasks with secrets are refused.
    /// </summary>
    public string? KeyFile { get; init; }
}
