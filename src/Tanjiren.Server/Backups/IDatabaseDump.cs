namespace Tanjiren.Server.Backups;

/// <summary>The seam between the two databases for whole copies of them.</summary>
internal interface IDatabaseDump
{
    /// <summary>As in the manifest and in <see cref="Data.ISqlProvider.Name"/>.</summary>
    string Kind { get; }

    /// <summary>Writes a consistent copy of a database that may be in use. Answers its newest migration.</summary>
    Task<string> DumpAsync(string to, CancellationToken cancellationToken);

    /// <summary>
    /// Puts a dump in place, finished by <paramref name="finish"/> (given the URL of the database to work on) before any server can serve it. Nobody else may serve
    /// the place meanwhile.
    /// </summary>
    /// <param name="dump">What <see cref="DumpAsync"/> made.</param>
    /// <param name="force">What is in the place is given up; otherwise it must be empty.</param>
    /// <param name="finish">Makes the restored database fit to be served.</param>
    /// <param name="cancellationToken">Leaves the place unfit to be served, if it comes late.</param>
    Task LoadAsync(string dump, bool force, Func<string, Task> finish, CancellationToken cancellationToken);
}
